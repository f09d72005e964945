// Reductions, scalar.
#pragma once

#include "kernels/reduce.h"

namespace gesso::ref {

void MatchDeviation(Context& ctx, const MatchDeviationArgs& args);
void ScaledError(Context& ctx, const ScaledErrorArgs& args);

}  // namespace gesso::ref
