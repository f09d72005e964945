// Reductions, scalar.
#pragma once

#include "kernels/reduce.h"

namespace gesso::ref {

void Deviation(Context& ctx, const DeviationArgs& args);
void ScaledError(Context& ctx, const ScaledErrorArgs& args);

}  // namespace gesso::ref
