// Weights in few bits on the CPU. Codes lie in the order in which a product reads its weights, so
// that a few panels at a time are decoded into a thread's scratch and multiplied from there; 8-bit
// codes of integer products are multiplied as they lie (gemm_int8.cpp).
#pragma once

#include <optional>
#include <string_view>

#include "kernels/cpu/gemm.h"
#include "kernels/low_bit.h"

namespace gesso::cpu {

// How a product orders the inputs k and outputs j of a panel.
struct PanelOrder {
  int64_t width = 1;  // outputs
  int64_t run = 1;    // inputs of one output that lie next to each other: [k / run, width, run]
  int64_t depth = 1;  // inputs are padded with zeros to a multiple
};

// values u8: panel after panel, each
//   kQ8, kQ4, kF8, kF8A8
//             scales f32 [groups, width], codes
//   kW8A8     scales f32 [width], 128 * sum of codes i32 [width], codes
//   kW4A8     as kW8A8, group scales u8 [groups, width] before the codes
// codes i8 or e4m3 [depth / run, width, run]; of 4 bits, the first half of each [width, run] in the
// low and the second half in the high nibbles.
struct LowBitPanels final : Panels {
  LowBit type = LowBit::kQ8;
  PanelOrder order;
  int64_t cols = 0;    // K
  int64_t groups = 0;  // of K
  int64_t padded = 0;  // K up to a multiple of order.depth
  float input_scale = 0;
  int64_t hadamard = 1;

  int64_t HeadBytes() const;  // of a panel, before its codes
  int64_t PanelBytes() const;
  const uint8_t* Panel(int64_t panel) const {
    return values.Data<uint8_t>() + panel * PanelBytes();
  }
  void Unpack(float* weight) const override;
};

// Panels of integer products: two tiles of AMX, two vectors of AVX-512.
constexpr PanelOrder kInt8Order = {.width = 32, .run = 4, .depth = 64};

PackedMatrix PackLowBit(const LowBitMatrix& matrix, DType dtype);
// In a given order, whatever this CPU is best at.
PackedMatrix PackLowBit(const LowBitMatrix& matrix, const PanelOrder& order, DType dtype);

// The arguments of a product as they are or, where its weights are kF8A8, with x rounded to e4m3:
// [rows, K] bf16, which holds these numbers exactly, in this thread's memory until the next one.
LinearArgs WithRoundedInputs(const LinearArgs& args);
LinearGluArgs WithRoundedInputs(const LinearGluArgs& args);

// The width of float32 panels with this CPU's vectors (gemm.cpp).
int64_t F32PanelWidth();

// The reasons to refuse weights that are not codes for products in float32 or bfloat16.
std::optional<std::string_view> WhyNotCodes(const PackedMatrix& weight);
std::optional<std::string_view> WhyNotCodesAmx(const PackedMatrix& weight);
std::optional<std::string_view> WhyNotCodesAvx512BF16(const PackedMatrix& weight);
void LinearCodes(Context& ctx, const LinearArgs& args);
void LinearGluCodes(Context& ctx, const LinearGluArgs& args);
void LinearCodesAmx(Context& ctx, const LinearArgs& args);
void LinearGluCodesAmx(Context& ctx, const LinearGluArgs& args);
void LinearCodesAvx512BF16(Context& ctx, const LinearArgs& args);
void LinearGluCodesAvx512BF16(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
