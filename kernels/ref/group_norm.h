// GroupNorm by its formula.
#pragma once

#include "kernels/group_norm.h"

namespace gesso::ref {

void GroupNorm(Context& ctx, const GroupNormArgs& args);

}  // namespace gesso::ref
