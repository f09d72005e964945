// The slow truth of kernels/conv.h: double accumulation, one output at a time.
#pragma once

#include "kernels/conv.h"

namespace gesso::ref {

void Conv2d(Context& ctx, const Conv2dArgs& args);

}  // namespace gesso::ref
