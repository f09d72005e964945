#include "kernels/cuda/token_pruning.h"

#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/token_pruning.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotTokenDistance(const TokenDistanceArgs& args) {
  return WhyNotReachable({args.x, args.score});
}

void TokenDistance(Context&, const TokenDistanceArgs& args) {
  const int64_t tokens = args.x.shape[1];
  const int64_t channels = args.x.shape[2];
  const auto* x = static_cast<const float*>(args.x.data);
  const int64_t sums = args.x.shape[0] * channels;
  auto* means = static_cast<float*>(Scratch(0, static_cast<size_t>(sums) * sizeof(float)));
  ForEach(sums, TokenMeanElement{x, means, tokens, channels});
  ForEachRow<WarpLanes>(
      args.x.shape[0] * tokens,
      TokenDistanceRow{x, means, static_cast<float*>(args.score.data), tokens, channels});
}

std::optional<std::string_view> WhyNotTopTokens(const TopTokensArgs& args) {
  return WhyNotReachable({args.score, args.ids});
}

void TopTokens(Context&, const TopTokensArgs& args) {
  const int64_t tokens = args.score.shape[1];
  const int64_t count = args.score.numel();
  auto* ranks = static_cast<int32_t*>(Scratch(0, static_cast<size_t>(count) * sizeof(int32_t)));
  ForEach(count, TokenRankElement{static_cast<const float*>(args.score.data), ranks, tokens});
  ForEach(count, TopTokenElement{ranks, static_cast<int32_t*>(args.ids.data), tokens,
                                 args.ids.shape[1], args.by_score});
}

}  // namespace gesso::cuda
