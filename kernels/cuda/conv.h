// CUDA: convolutions as products of patches, by cuBLASLt; those in groups directly.
#pragma once

#include "kernels/conv.h"

namespace gesso::cuda {

// Throws kMemory or kDevice where the device cannot hold it.
PackedKernel PackKernel(ConstView weight, DType dtype, Conv2dShape conv);

// [O, KH, KW, I/groups] of a kernel packed here; an empty view of one packed for another device.
ConstView KernelValues(const PackedKernel& kernel);

std::optional<std::string_view> WhyNotConv2d(const Conv2dArgs& args);
void Conv2d(Context& ctx, const Conv2dArgs& args);

}  // namespace gesso::cuda
