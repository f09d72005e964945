// The slow truth of kernels/token_pruning.h.
#pragma once

#include "kernels/token_pruning.h"

namespace gesso::ref {

void TokenDistance(Context& ctx, const TokenDistanceArgs& args);
void TopTokens(Context& ctx, const TopTokensArgs& args);

}  // namespace gesso::ref
