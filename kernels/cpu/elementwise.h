// Vectorised chains of elementwise work.
#pragma once

#include "kernels/elementwise.h"

namespace gesso::cpu {

void LinearCombination(Context& ctx, const LinearCombinationArgs& args);
void GatedAdd(Context& ctx, const GatedAddArgs& args);

}  // namespace gesso::cpu
