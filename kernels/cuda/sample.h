// CUDA: mixtures of tokens. Tokens are drawn on the CPU, in double.
#pragma once

#include "kernels/sample.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotGumbelSoftmax(const GumbelSoftmaxArgs& args);
void GumbelSoftmax(Context& ctx, const GumbelSoftmaxArgs& args);

}  // namespace gesso::cuda
