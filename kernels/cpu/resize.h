// Vectorised Resize, along the channels.
#pragma once

#include "kernels/resize.h"

namespace gesso::cpu {

void Resize(Context& ctx, const ResizeArgs& args);

}  // namespace gesso::cpu
