// Which tokens of a map matter: how far each is from their mean, and the farthest of them.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// score[b, n] = |x[b, n] - mean_m x[b, m]|^2, Guo et al. 2025, "FastVAR: linear visual
// autoregressive modeling via cached token pruning".
struct TokenDistanceArgs {
  ConstView x;  // [B, N, C] f32 contiguous
  View score;   // [B, N] f32 contiguous
};
void TokenDistance(Context& ctx, const TokenDistanceArgs& args);

// ids[b] = the K tokens with the highest scores, the lower index where scores are equal; by
// ascending index, or by descending score.
struct TopTokensArgs {
  ConstView score;  // [B, N] f32 contiguous, without NaN
  bool by_score = false;
  View ids;  // [B, K] i32 contiguous, K <= N
};
void TopTokens(Context& ctx, const TopTokensArgs& args);

const OpTable<TokenDistanceArgs>& TokenDistanceTable();
const OpTable<TopTokensArgs>& TopTokensTable();

}  // namespace gesso
