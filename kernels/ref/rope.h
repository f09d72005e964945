// The slow truth of kernels/rope.h.
#pragma once

#include "kernels/rope.h"

namespace gesso::ref {

void Rope(Context& ctx, const RopeArgs& args);

}  // namespace gesso::ref
