#include "kernels/cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sample.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// One row; `weights` may be any of the inputs.
void GumbelSoftmaxRow(const float* logits, const float* gumbel, int64_t count, float gain,
                      float tau, float* weights) {
  const F32 d;
  const int64_t lanes = LanesF();
  const auto times = hn::Set(d, gain);
  const auto share = hn::Set(d, 1 / tau);
  constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
  auto most = hn::Set(d, kMinusInfinity);
  for (int64_t i = 0; i < count; i += lanes) {
    const int64_t left = count - i;
    if (left >= lanes) {
      const auto value = hn::Mul(hn::MulAdd(times, Load(logits + i), Load(gumbel + i)), share);
      most = hn::Max(most, value);
      Store(value, weights + i);
    } else {
      const auto sum = hn::MulAdd(times, LoadPart(logits + i, left), LoadPart(gumbel + i, left));
      const auto value = hn::Mul(sum, share);
      const auto valid = hn::FirstN(d, static_cast<size_t>(left));
      most = hn::Max(most, hn::IfThenElse(valid, value, most));
      StorePart(value, weights + i, left);
    }
  }
  const auto largest = hn::MaxOfLanes(d, most);
  double total = 0;
  for (int64_t i = 0; i < count; i += lanes) {
    const int64_t left = std::min(lanes, count - i);
    const bool whole = left == lanes;
    auto weight = Exp(hn::Sub(whole ? Load(weights + i) : LoadPart(weights + i, left), largest));
    if (whole) {
      Store(weight, weights + i);
    } else {
      weight = hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(left)), weight);
      StorePart(weight, weights + i, left);
    }
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, weight)));
  }
  const auto factor = hn::Set(d, static_cast<float>(1 / total));
  for (int64_t i = 0; i < count; i += lanes) {
    const int64_t left = count - i;
    if (left >= lanes) {
      Store(hn::Mul(factor, Load(weights + i)), weights + i);
    } else {
      StorePart(hn::Mul(factor, LoadPart(weights + i, left)), weights + i, left);
    }
  }
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(GumbelSoftmaxRow);

namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

struct Candidate {
  int32_t index;
  float logit;
  double share;  // not normalised
};

// Drops what is below the top_k-th largest.
void KeepLargest(float* logits, int64_t count, int64_t top_k, std::vector<float>& values) {
  values.assign(logits, logits + count);
  const auto least = values.begin() + (top_k - 1);
  std::nth_element(values.begin(), least, values.end(), std::greater<>());
  for (int64_t i = 0; i < count; ++i) {
    if (logits[i] < *least) logits[i] = kDropped;
  }
}

// Drops the least likely candidates whose shares sum up to no more than 1 - top_p.
void KeepLikely(float* logits, double top_p, std::vector<Candidate>& left) {
  std::ranges::sort(left, [](const Candidate& a, const Candidate& b) {
    return a.logit < b.logit || (a.logit == b.logit && a.index < b.index);
  });
  double total = 0;
  for (const Candidate& candidate : left) total += candidate.share;
  double running = 0;
  size_t dropped = 0;
  for (; dropped + 1 < left.size(); ++dropped) {
    running += left[dropped].share / total;
    if (running > 1 - top_p) break;
    logits[left[dropped].index] = kDropped;
  }
  left.erase(left.begin(), left.begin() + static_cast<int64_t>(dropped));
  std::ranges::sort(left, {}, &Candidate::index);
}

void SampleRow(const SampleTokensArgs& args, int64_t row) {
  thread_local std::vector<float> values;
  thread_local std::vector<Candidate> left;
  const int64_t count = args.logits.shape[1];
  float* logits = args.logits.Data<float>() + row * count;
  if (args.top_k > 0 && args.top_k < count) KeepLargest(logits, count, args.top_k, values);
  const double largest = static_cast<double>(*std::max_element(logits, logits + count));
  left.clear();
  for (int64_t i = 0; i < count; ++i) {
    if (logits[i] == kDropped) continue;
    const double share = std::exp(static_cast<double>(logits[i]) - largest);
    left.push_back({static_cast<int32_t>(i), logits[i], share});
  }
  if (args.top_p > 0) KeepLikely(logits, args.top_p, left);
  double total = 0;
  for (const Candidate& candidate : left) total += candidate.share;
  double running = 0;
  int32_t token = 0;
  for (const Candidate& candidate : left) {
    token = candidate.index;
    running += candidate.share / total;
    if (running > args.uniforms[static_cast<size_t>(row)]) break;
  }
  args.tokens.Data<int32_t>()[row] = token;
}

}  // namespace

void SampleTokens(Context&, const SampleTokensArgs& args) {
  ParallelRange(args.logits.shape[0], RowsATask(4 * args.logits.shape[1]),
                [&](int64_t begin, int64_t end) {
                  for (int64_t row = begin; row < end; ++row) SampleRow(args, row);
                });
}

void GumbelSoftmax(Context&, const GumbelSoftmaxArgs& args) {
  const int64_t count = args.logits.shape[1];
  ParallelRange(args.logits.shape[0], RowsATask(2 * count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      HWY_DYNAMIC_DISPATCH(GumbelSoftmaxRow)
      (args.logits.Data<float>() + row * count, args.gumbel.Data<float>() + row * count, count,
       args.gain, args.tau, args.weights.Data<float>() + row * count);
    }
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
