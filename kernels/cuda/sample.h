// CUDA: choosing tokens from logits, and mixtures of them.
#pragma once

#include "kernels/sample.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotSampleTokens(const SampleTokensArgs& args);
void SampleTokens(Context& ctx, const SampleTokensArgs& args);
std::optional<std::string_view> WhyNotGumbelSoftmax(const GumbelSoftmaxArgs& args);
void GumbelSoftmax(Context& ctx, const GumbelSoftmaxArgs& args);

}  // namespace gesso::cuda
