// Weights of products in 8 or 4 bits: how they are rounded, what the numbers stand for, and packing
// them for Linear and LinearGlu (gemm.h). docs/low_bit.md is the layout in files.
//
// Papers: Chiang et al. 2024, "Quamba: A Post-Training Quantization Recipe for Selective State
// Space Models"; Lin et al. 2024, "QServe: W4A8KV4 Quantization and System Co-design for Efficient
// LLM Serving" (two levels of scales); Ashkboos et al. 2024, "QuaRot" (rotated inputs).
#pragma once

#include <array>
#include <optional>
#include <span>

#include "kernels/gemm.h"

namespace gesso {

enum class LowBit {
  kQ8,    // 8-bit weights in groups of inputs; products in floating point
  kQ4,    // 4-bit weights in groups of inputs; products in floating point
  kW8A8,  // 8-bit weights, one scale an output; inputs are rounded to 8 bits, integer products
  kW4A8,  // 4-bit weights in groups within an output's scale; inputs and products as kW8A8
  kF8,    // e4m3 weights (core/float8.h) in groups of inputs; products in floating point
  kF8A8,  // e4m3 weights, one scale an output; inputs are rounded to e4m3
};
inline constexpr std::array kLowBits = {LowBit::kQ8,   LowBit::kQ4, LowBit::kW8A8,
                                        LowBit::kW4A8, LowBit::kF8, LowBit::kF8A8};
constexpr int64_t kLowBitGroup = 128;  // inputs that share a scale; the last group may be shorter

std::string_view NameOf(LowBit type);                      // "q8", ...
std::optional<LowBit> LowBitNamed(std::string_view name);  // or nothing

inline bool IsFourBit(LowBit type) { return type == LowBit::kQ4 || type == LowBit::kW4A8; }
inline bool IsIntegerProduct(LowBit type) { return type == LowBit::kW8A8 || type == LowBit::kW4A8; }
inline bool IsFloat8(LowBit type) { return type == LowBit::kF8 || type == LowBit::kF8A8; }
// Whether inputs are rounded too; then an output has one scale.
inline bool RoundsInputs(LowBit type) { return IsIntegerProduct(type) || type == LowBit::kF8A8; }
inline int64_t LowBitGroups(int64_t cols) { return (cols + kLowBitGroup - 1) / kLowBitGroup; }

// A matrix [N, K] in few bits. The weight (n, k) of group g = k / 128 stands for
//   kQ8    codes[n, k] scale[n, g]            codes i8, -127 .. 127
//   kQ4    (nibble - 8) scale[n, g]           nibble 1 .. 15, input k in the low (even k) or high
//                                             half of the byte codes[n, k / 2]
//   kW8A8  codes[n, k] scale[n]
//   kW4A8  (nibble - 8) group_scale[n, g] scale[n], where (nibble - 8) group_scale is an i8
//   kF8    codes[n, k] scale[n, g]            codes e4m3, none of them NaN
//   kF8A8  codes[n, k] scale[n]
// A row of inputs of kF8A8 is divided by E4M3Scale of its largest value and rounded to e4m3.
struct LowBitMatrix {
  LowBit type = LowBit::kQ8;
  int64_t rows = 0;    // N
  int64_t cols = 0;    // K
  Tensor codes;        // i8 or e4m3 [N, K], or u8 [N, ceil(K / 2)]
  Tensor scale;        // bf16 or f32 [N, ceil(K / 128)], or f32 [N]
  Tensor group_scale;  // u8 [N, ceil(K / 128)], kW4A8 alone
  // Integer products: inputs are rounded to multiples of this, -127 .. 127 of them; 0: each row of
  // inputs to multiples of its own largest value / 127.
  float input_scale = 0;
  // Integer products: the matrix is W H, to be multiplied by H x, with H the orthonormal
  // Walsh-Hadamard matrix of this size, a power of two that divides K, repeated along K; 1: none.
  int64_t hadamard = 1;

  // What the code of (row, col) stands for, without undoing the rotation.
  float At(int64_t row, int64_t col) const;
  // The weights [N, K], rotation undone.
  Tensor Dequantize() const;
  size_t bytes() const;  // of all of its tensors
  // Throws kFormat where a shape, an element type or a value does not fit the others.
  void Check() const;
};

// Rounds `weight` [N, K] (floating, contiguous). 4-bit scales are those of the smallest squared
// error, scales of e4m3 powers of two. `hadamard`: see LowBitMatrix; for integer products alone.
LowBitMatrix Quantize(ConstView weight, LowBit type, int64_t hadamard = 1);

// `parts` (of one type, width and rotation) on top of each other; of input scales, the largest.
LowBitMatrix Stack(std::span<const LowBitMatrix> parts);

// The largest size of a Walsh-Hadamard matrix that repeats along `cols` inputs.
int64_t HadamardSize(int64_t cols);
// values [count] = H values, H orthonormal of `size` and repeated: size divides count.
void Hadamard(float* values, int64_t count, int64_t size);

// Packs for products in `dtype` (kF32 or kBF16; integer products have that of their inputs' copies
// alone). Throws as LowBitMatrix::Check.
PackedMatrix PackLowBit(Device device, const LowBitMatrix& matrix, DType dtype);

}  // namespace gesso
