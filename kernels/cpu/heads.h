// Vectorised preparation of attention heads.
#pragma once

#include "kernels/heads.h"

namespace gesso::cpu {

void PrepareHeads(Context& ctx, const PrepareHeadsArgs& args);

}  // namespace gesso::cpu
