#include "samplers/next_token/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace gesso {

namespace {

double KthLargest(std::span<const double> scores, int64_t k) {
  std::vector<double> sorted(scores.begin(), scores.end());
  const auto kth = sorted.begin() + (k - 1);
  // NaN last: an order whatever the scores are.
  std::ranges::nth_element(
      sorted, kth, [](double a, double b) { return a > b || (std::isnan(b) && !std::isnan(a)); });
  return *kth;
}

}  // namespace

void SoftmaxTopK(std::span<double> scores, int64_t top_k) {
  const bool cuts = top_k > 0 && top_k < static_cast<int64_t>(scores.size());
  const double lowest = cuts ? KthLargest(scores, top_k) : -std::numeric_limits<double>::infinity();
  const double highest = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& score : scores) {
    score = score < lowest ? 0 : std::exp(score - highest);
    sum += score;
  }
  for (double& probability : scores) probability /= sum;
}

int32_t DrawIndex(std::span<const double> weights, double u) {
  const double target = u * std::accumulate(weights.begin(), weights.end(), 0.0);
  double running = 0;
  int32_t last = -1;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    running += weights[i];
    last = static_cast<int32_t>(i);
    if (running > target) return last;
  }
  return last;
}

int32_t ArgMax(std::span<const double> values) {
  return static_cast<int32_t>(std::ranges::max_element(values) - values.begin());
}

}  // namespace gesso
