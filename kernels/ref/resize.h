// Resize by its formulas, one output at a time.
#pragma once

#include "kernels/resize.h"

namespace gesso::ref {

void Resize(Context& ctx, const ResizeArgs& args);

}  // namespace gesso::ref
