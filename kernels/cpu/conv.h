// Convolutions on the CPU, through oneDNN.
#pragma once

#include "kernels/conv.h"

namespace gesso::cpu {

// `dtype`: float32 or bfloat16; the latter is widened unless the CPU gains from it.
PackedKernel PackKernel(ConstView weight, DType dtype, Conv2dShape conv);
void Conv2d(Context& ctx, const Conv2dArgs& args);

}  // namespace gesso::cpu
