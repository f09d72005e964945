// Choosing tokens on the CPU: selection instead of sorting whole vocabularies.
#pragma once

#include "kernels/sample.h"

namespace gesso::cpu {

void SampleTokens(Context& ctx, const SampleTokensArgs& args);
void GumbelSoftmax(Context& ctx, const GumbelSoftmaxArgs& args);

}  // namespace gesso::cpu
