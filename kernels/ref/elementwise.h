// The slow truth of kernels/elementwise.h.
#pragma once

#include "kernels/elementwise.h"

namespace gesso::ref {

void LinearCombination(Context& ctx, const LinearCombinationArgs& args);
void GatedAdd(Context& ctx, const GatedAddArgs& args);

}  // namespace gesso::ref
