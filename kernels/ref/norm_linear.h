// The slow truth of kernels/norm_linear.h.
#pragma once

#include "kernels/norm_linear.h"

namespace gesso::ref {

void NormLinear(Context& ctx, const NormLinearArgs& args);

}  // namespace gesso::ref
