// Vectorised gated activations.
#pragma once

#include "kernels/activation.h"

namespace gesso::cpu {

void Glu(Context& ctx, const GluArgs& args);

}  // namespace gesso::cpu
