#include "kernels/cpu/token_pruning.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/token_pruning.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// |x - mean|^2 over `width` channels.
float SquaredDistance(const float* x, const float* mean, int64_t width) {
  const F32 d;
  const int64_t lanes = LanesF();
  auto s0 = hn::Zero(d), s1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    const auto first = hn::Sub(Load(x + i), Load(mean + i));
    const auto second = hn::Sub(Load(x + i + lanes), Load(mean + i + lanes));
    s0 = hn::MulAdd(first, first, s0);
    s1 = hn::MulAdd(second, second, s1);
  }
  for (; i < width; i += lanes) {
    const int64_t left = width - i;
    const auto difference = left >= lanes
                                ? hn::Sub(Load(x + i), Load(mean + i))
                                : hn::Sub(LoadPart(x + i, left), LoadPart(mean + i, left));
    s0 = hn::MulAdd(difference, difference, s0);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
}

void Distances(const float* x, const float* mean, int64_t width, int64_t count, float* score) {
  for (int64_t n = 0; n < count; ++n) score[n] = SquaredDistance(x + n * width, mean, width);
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(Distances);

namespace {

// Means of channels begin..end-1 over the tokens. Sums are in double: a mean that is off moves the
// scores of all tokens, and which tokens stay hangs on them.
void Means(const float* x, int64_t tokens, int64_t width, int64_t begin, int64_t end, float* mean) {
  std::array<double, 64> sums{};
  CHECK(end - begin <= static_cast<int64_t>(sums.size()));
  for (int64_t n = 0; n < tokens; ++n) {
    const float* row = x + n * width + begin;
    for (int64_t c = 0; c < end - begin; ++c) sums[static_cast<size_t>(c)] += row[c];
  }
  for (int64_t c = begin; c < end; ++c) {
    const double sum = sums[static_cast<size_t>(c - begin)];
    mean[c] = static_cast<float>(sum / static_cast<double>(tokens));
  }
}

}  // namespace

void TokenDistance(Context&, const TokenDistanceArgs& args) {
  const Shape& s = args.x.shape;
  thread_local std::vector<float> buffer;  // [B, C], kept for its space
  buffer.resize(std::max(buffer.size(), static_cast<size_t>(s[0] * s[2])));
  float* means = buffer.data();
  const float* x = args.x.Data<float>();
  constexpr int64_t kChannels = 64;
  const int64_t parts = (s[2] + kChannels - 1) / kChannels;
  ParallelFor(s[0] * parts, [&](int64_t task) {
    const int64_t b = task / parts;
    const int64_t begin = task % parts * kChannels;
    Means(x + b * s[1] * s[2], s[1], s[2], begin, std::min(begin + kChannels, s[2]),
          means + b * s[2]);
  });
  const int64_t grain = RowsATask(s[2]);
  const int64_t ranges = (s[1] + grain - 1) / grain;
  ParallelFor(s[0] * ranges, [&](int64_t task) {
    const int64_t b = task / ranges;
    const int64_t begin = task % ranges * grain;
    const int64_t row = b * s[1] + begin;
    HWY_DYNAMIC_DISPATCH(Distances)
    (x + row * s[2], means + b * s[2], s[2], std::min(grain, s[1] - begin),
     args.score.Data<float>() + row);
  });
}

void TopTokens(Context&, const TopTokensArgs& args) {
  const int64_t count = args.score.shape[1];
  const int64_t kept = args.ids.shape[1];
  ParallelFor(args.score.shape[0], [&](int64_t b) {
    thread_local std::vector<int32_t> order;
    const float* score = args.score.Data<float>() + b * count;
    const auto before = [score](int32_t i, int32_t j) { return ScoresHigher(score, i, j); };
    order.resize(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    const auto end = order.begin() + kept;
    if (kept < count) std::nth_element(order.begin(), end, order.end(), before);
    if (args.by_score) {
      std::sort(order.begin(), end, before);
    } else {
      std::sort(order.begin(), end);
    }
    std::copy(order.begin(), end, args.ids.Data<int32_t>() + b * kept);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
