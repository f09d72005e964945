// Convolutions on the CPU: through oneDNN, and float32 ones with AMX by conv_split.cpp.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/conv.h"

namespace gesso::cpu {

// `dtype`: float32 or bfloat16; the latter is widened unless the CPU gains from it.
PackedKernel PackKernel(ConstView weight, DType dtype, Conv2dShape conv, Factors factors);

// The reason to refuse a kernel that is packed for others.
std::optional<std::string_view> WhyNotOneDnn(const Conv2dArgs& args);
void Conv2d(Context& ctx, const Conv2dArgs& args);

}  // namespace gesso::cpu
