// CUDA: products by cuBLASLt, accumulated in float32. Weights lie on the device as [N, K] in the
// type of the products' inputs.
#pragma once

#include "kernels/gemm.h"

namespace gesso::cuda {

// Throws kDevice where the device cannot hold them.
PackedMatrix PackMatrix(ConstView weight, DType dtype);

std::optional<std::string_view> WhyNotLinear(const LinearArgs& args);
void Linear(Context& ctx, const LinearArgs& args);
std::optional<std::string_view> WhyNotLinearGlu(const LinearGluArgs& args);
void LinearGlu(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cuda
