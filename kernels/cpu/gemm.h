// Products on the CPU: float32 by kernels/cpu/gemm.cpp or, with AMX, gemm_digits.cpp; bfloat16
// where the CPU gains from multiplying it natively by gemm_bf16.cpp.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/gemm.h"

namespace gesso::cpu {

// Weights [N, K] as panels of outputs, each with all of its K inputs.
struct Panels : PackedMatrix::Storage {
  Tensor values;
  int64_t rows = 0;  // N
};

// values [panels, K, width] f32: panel p holds, for k = 0 .. K-1, the weights (p * width + j, k),
// j < width, with zeros behind the last output.
struct F32Panels final : Panels {
  void Unpack(float* weight) const override;
};

DType ActivationDType(DType dtype);
PackedMatrix PackMatrix(ConstView weight, DType dtype, Factors factors);
// Always as F32Panels; kBF16 rounds the weights to bf16 first.
PackedMatrix PackPanels(ConstView weight, DType dtype);

// The reason to refuse weights that are not F32Panels, or a CPU without the vectors they need.
std::optional<std::string_view> WhyNotPanels(const PackedMatrix& weight);
void Linear(Context& ctx, const LinearArgs& args);
void LinearGlu(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
