// Normal numbers, scalar.
#pragma once

#include "kernels/noise.h"

namespace gesso::ref {

void DrawNormal(Context& ctx, const DrawNormalArgs& args);

}  // namespace gesso::ref
