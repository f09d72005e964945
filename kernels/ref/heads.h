// The slow truth of kernels/heads.h.
#pragma once

#include "kernels/heads.h"

namespace gesso::ref {

void PrepareHeads(Context& ctx, const PrepareHeadsArgs& args);

}  // namespace gesso::ref
