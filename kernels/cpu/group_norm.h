// Vectorised GroupNorm: the picture is read twice, once for the statistics and once for the result.
#pragma once

#include "kernels/group_norm.h"

namespace gesso::cpu {

void GroupNorm(Context& ctx, const GroupNormArgs& args);

}  // namespace gesso::cpu
