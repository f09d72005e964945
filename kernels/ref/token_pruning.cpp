#include "kernels/ref/token_pruning.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace gesso::ref {

void TokenDistance(Context&, const TokenDistanceArgs& args) {
  const Shape& s = args.x.shape;
  for (int64_t b = 0; b < s[0]; ++b) {
    const float* x = args.x.Data<float>() + b * s[1] * s[2];
    for (int64_t n = 0; n < s[1]; ++n) args.score.Data<float>()[b * s[1] + n] = 0;
    std::vector<double> score(static_cast<size_t>(s[1]));
    for (int64_t c = 0; c < s[2]; ++c) {
      double mean = 0;
      for (int64_t n = 0; n < s[1]; ++n) mean += x[n * s[2] + c];
      mean /= static_cast<double>(s[1]);
      for (int64_t n = 0; n < s[1]; ++n) {
        const double difference = x[n * s[2] + c] - mean;
        score[static_cast<size_t>(n)] += difference * difference;
      }
    }
    std::ranges::transform(score, args.score.Data<float>() + b * s[1],
                           [](double value) { return static_cast<float>(value); });
  }
}

void TopTokens(Context&, const TopTokensArgs& args) {
  const int64_t count = args.score.shape[1];
  const int64_t kept = args.ids.shape[1];
  for (int64_t b = 0; b < args.score.shape[0]; ++b) {
    const float* score = args.score.Data<float>() + b * count;
    std::vector<int32_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](int32_t i, int32_t j) { return ScoresHigher(score, i, j); });
    order.resize(static_cast<size_t>(kept));
    if (!args.by_score) std::ranges::sort(order);
    std::ranges::copy(order, args.ids.Data<int32_t>() + b * kept);
  }
}

}  // namespace gesso::ref
