#include "kernels/cpu/nearest_code.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/nearest_code.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// Index of the first largest of scores [count]; 0 where all are NaN.
int32_t FirstLargest(const float* scores, int64_t count) {
  const F32 d;
  const I32 di;
  const int64_t lanes = LanesF();
  auto best = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto place = hn::Zero(di);
  auto here = hn::Iota(di, 0);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = Load(scores + i);
    const auto better = hn::Gt(value, best);
    best = hn::IfThenElse(better, value, best);
    place = hn::IfThenElse(hn::RebindMask(di, better), here, place);
    here = hn::Add(here, hn::Set(di, static_cast<int32_t>(lanes)));
  }
  HWY_ALIGN float values[HWY_LANES(float)];
  HWY_ALIGN int32_t places[HWY_LANES(float)];
  hn::Store(best, d, values);
  hn::Store(place, di, places);
  float largest = values[0];
  int32_t index = places[0];
  for (int64_t lane = 1; lane < lanes; ++lane) {
    const bool earlier = values[lane] == largest && places[lane] < index;
    if (!(values[lane] > largest) && !earlier) continue;
    largest = values[lane];
    index = places[lane];
  }
  for (; i < count; ++i) {
    if (!(scores[i] > largest)) continue;
    largest = scores[i];
    index = static_cast<int32_t>(i);
  }
  return index;
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(FirstLargest);

std::optional<std::string_view> WhyNotNearestCode(const NearestCodeArgs& args) {
  return WhyNotPanels(args.codebook->codes);
}

void NearestCode(Context& ctx, const NearestCodeArgs& args) {
  constexpr int64_t kScoresABlock = 1 << 20;  // 4 MiB
  thread_local std::vector<float> buffer;
  const int64_t rows = args.z.shape[0];
  const int64_t depth = args.z.shape[1];
  const int64_t codes = args.codebook->codes.rows();
  const int64_t grain = std::clamp<int64_t>(kScoresABlock / codes, 1, rows);
  buffer.resize(std::max(buffer.size(), static_cast<size_t>(grain * codes)));
  float* scores = buffer.data();
  int32_t* tokens = args.tokens.Data<int32_t>();
  for (int64_t begin = 0; begin < rows; begin += grain) {
    const int64_t count = std::min(grain, rows - begin);
    const ConstView z(args.z.Data<float>() + begin * depth, {count, depth}, DType::kF32);
    cpu::Linear(ctx, {.x = z,
                      .weight = &args.codebook->codes,
                      .bias = args.codebook->bias,
                      .residual = {},
                      .out = View(scores, {count, codes}, DType::kF32)});
    ParallelRange(count, RowsATask(codes), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        tokens[begin + row] = HWY_DYNAMIC_DISPATCH(FirstLargest)(scores + row * codes, codes);
      }
    });
  }
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
