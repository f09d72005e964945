// Slow truth of kernels/embedding.h, in double.
#pragma once

#include "kernels/embedding.h"

namespace gesso::ref {

void FourierFeatures(Context& ctx, const FourierFeaturesArgs& args);

}  // namespace gesso::ref
