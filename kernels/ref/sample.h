// The slow truth of kernels/sample.h.
#pragma once

#include "kernels/sample.h"

namespace gesso::ref {

void SampleTokens(Context& ctx, const SampleTokensArgs& args);
void GumbelSoftmax(Context& ctx, const GumbelSoftmaxArgs& args);

}  // namespace gesso::ref
