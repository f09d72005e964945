// The nearest code by distance, in double.
#pragma once

#include "kernels/nearest_code.h"

namespace gesso::ref {

void NearestCode(Context& ctx, const NearestCodeArgs& args);

}  // namespace gesso::ref
