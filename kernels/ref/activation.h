// The slow truth of kernels/activation.h.
#pragma once

#include "kernels/activation.h"

namespace gesso::ref {

void Glu(Context& ctx, const GluArgs& args);
void Activate(Context& ctx, const ActivateArgs& args);

}  // namespace gesso::ref
