// The slow truth of kernels/elementwise.h.
#pragma once

#include "kernels/elementwise.h"

namespace gesso::ref {

void LinearCombination(Context& ctx, const LinearCombinationArgs& args);

}  // namespace gesso::ref
