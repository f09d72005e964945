// Vectorised linear combinations.
#pragma once

#include "kernels/elementwise.h"

namespace gesso::cpu {

void LinearCombination(Context& ctx, const LinearCombinationArgs& args);

}  // namespace gesso::cpu
