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

// Whether token i of `score` comes before token j: by descending score, the lower index where
// scores are equal, NaN last. A strict order whatever the scores are, on the CPU and on GPUs.
constexpr bool ScoresHigher(const float* score, int32_t i, int32_t j) {
  if (score[i] > score[j]) return true;
  if (score[i] < score[j]) return false;
  const bool is_nan = score[i] != score[i];
  return is_nan == (score[j] != score[j]) ? i < j : !is_nan;
}

// ids[b] = the K tokens with the highest scores, the lower index where scores are equal; by
// ascending index, or by descending score.
struct TopTokensArgs {
  ConstView score;  // [B, N] f32 contiguous; NaN counts as lowest
  bool by_score = false;
  View ids;  // [B, K] i32 contiguous, K <= N
};
void TopTokens(Context& ctx, const TopTokensArgs& args);

const OpTable<TokenDistanceArgs>& TokenDistanceTable();
const OpTable<TopTokensArgs>& TopTokensTable();

}  // namespace gesso
