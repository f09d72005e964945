// The slow truth of kernels/norm.h.
#pragma once

#include "kernels/norm.h"

namespace gesso::ref {

void RmsNorm(Context& ctx, const RmsNormArgs& args);
void LayerNorm(Context& ctx, const LayerNormArgs& args);

}  // namespace gesso::ref
