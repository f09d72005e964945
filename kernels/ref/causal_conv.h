// The slow truth of kernels/causal_conv.h.
#pragma once

#include "kernels/causal_conv.h"

namespace gesso::ref {

void CausalConv1d(Context& ctx, const CausalConv1dArgs& args);

}  // namespace gesso::ref
