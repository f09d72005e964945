// Slow truth of kernels/pool.h, in double.
#pragma once

#include "kernels/pool.h"

namespace gesso::ref {

void MaskedMean(Context& ctx, const MaskedMeanArgs& args);

}  // namespace gesso::ref
