#include "kernels/ref/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace gesso::ref {

namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

std::vector<double> Softmax(const std::vector<double>& logits) {
  const double largest = *std::ranges::max_element(logits);
  std::vector<double> shares;
  double total = 0;
  for (const double logit : logits) {
    shares.push_back(std::exp(logit - largest));
    total += shares.back();
  }
  for (double& share : shares) share /= total;
  return shares;
}

void SampleRow(const SampleTokensArgs& args, int64_t row) {
  const int64_t count = args.logits.shape[1];
  float* logits = args.logits.Data<float>() + row * count;
  std::vector<int64_t> order(static_cast<size_t>(count));  // ascending
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return logits[a] < logits[b]; });
  if (args.top_k > 0 && args.top_k < count) {
    const float least = logits[order[static_cast<size_t>(count - args.top_k)]];
    for (int64_t i = 0; i < count; ++i) {
      if (logits[i] < least) logits[i] = kDropped;
    }
  }
  if (args.top_p > 0) {
    std::vector<double> sorted;
    for (const int64_t i : order) sorted.push_back(logits[i]);
    const std::vector<double> shares = Softmax(sorted);
    double running = 0;
    for (size_t i = 0; i + 1 < order.size(); ++i) {
      running += shares[i];
      if (running <= 1 - args.top_p) logits[order[i]] = kDropped;
    }
  }
  const std::vector<double> shares = Softmax(std::vector<double>(logits, logits + count));
  double running = 0;
  int64_t token = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (logits[i] == kDropped) continue;
    token = i;
    running += shares[static_cast<size_t>(i)];
    if (running > args.uniforms[static_cast<size_t>(row)]) break;
  }
  args.tokens.Data<int32_t>()[row] = static_cast<int32_t>(token);
}

}  // namespace

void SampleTokens(Context&, const SampleTokensArgs& args) {
  for (int64_t row = 0; row < args.logits.shape[0]; ++row) SampleRow(args, row);
}

void GumbelSoftmax(Context&, const GumbelSoftmaxArgs& args) {
  const int64_t count = args.logits.shape[1];
  for (int64_t row = 0; row < args.logits.shape[0]; ++row) {
    std::vector<double> values;
    for (int64_t i = row * count; i < (row + 1) * count; ++i) {
      const double logit = static_cast<double>(args.gain) * args.logits.Data<float>()[i];
      values.push_back((logit + args.gumbel.Data<float>()[i]) / args.tau);
    }
    const std::vector<double> shares = Softmax(values);
    std::ranges::transform(shares, args.weights.Data<float>() + row * count,
                           [](double share) { return static_cast<float>(share); });
  }
}

}  // namespace gesso::ref
