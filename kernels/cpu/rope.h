// Vectorised rotary embedding.
#pragma once

#include "kernels/rope.h"

namespace gesso::cpu {

void Rope(Context& ctx, const RopeArgs& args);

}  // namespace gesso::cpu
