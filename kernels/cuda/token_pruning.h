// CUDA: which tokens of a map matter.
#pragma once

#include "kernels/token_pruning.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotTokenDistance(const TokenDistanceArgs& args);
void TokenDistance(Context& ctx, const TokenDistanceArgs& args);
std::optional<std::string_view> WhyNotTopTokens(const TopTokensArgs& args);
void TopTokens(Context& ctx, const TopTokensArgs& args);

}  // namespace gesso::cuda
