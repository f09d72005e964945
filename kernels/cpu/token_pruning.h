// Token scores, vectorised; the highest of them by selection.
#pragma once

#include "kernels/token_pruning.h"

namespace gesso::cpu {

void TokenDistance(Context& ctx, const TokenDistanceArgs& args);
void TopTokens(Context& ctx, const TopTokensArgs& args);

}  // namespace gesso::cpu
