// Products on the CPU: float32 by kernels/cpu/gemm.cpp (Highway), bfloat16 where the CPU gains
// from multiplying it natively by kernels/cpu/gemm_bf16.cpp (oneDNN).
#pragma once

#include <optional>
#include <string>

#include "kernels/gemm.h"

namespace gesso::cpu {

// [N, K] as panels of `width` outputs: panel p holds, for k = 0 .. K-1, the weights (p * width + j,
// k), j < width, with zeros behind the last output.
struct Panels final : PackedMatrix::Storage {
  Tensor values;  // [panels, K, width] f32
  int64_t rows = 0;
  void Unpack(float* weight) const override;
};

DType ActivationDType(DType dtype);
PackedMatrix PackMatrix(ConstView weight, DType dtype);
// Always as Panels; kBF16 rounds the weights to bf16 first.
PackedMatrix PackPanels(ConstView weight, DType dtype);

// The reason to refuse weights that are not Panels, or a CPU without the vectors they need.
std::optional<std::string> WhyNotPanels(const PackedMatrix& weight);
void Linear(Context& ctx, const LinearArgs& args);
void LinearGlu(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
