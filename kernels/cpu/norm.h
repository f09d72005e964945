// Vectorised normalisations: each row is read from memory once.
#pragma once

#include "kernels/norm.h"

namespace gesso::cpu {

void RmsNorm(Context& ctx, const RmsNormArgs& args);
void LayerNorm(Context& ctx, const LayerNormArgs& args);

}  // namespace gesso::cpu
