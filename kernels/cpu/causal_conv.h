// Vectorised causal convolution: a vector of channels at a time, each row of x read once.
#pragma once

#include "kernels/causal_conv.h"

namespace gesso::cpu {

void CausalConv1d(Context& ctx, const CausalConv1dArgs& args);

}  // namespace gesso::cpu
