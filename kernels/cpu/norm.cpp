#include "kernels/cpu/norm.h"

#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// sum((x - center)^2) over a row; four partial sums hide the latency of the additions.
template <class T>
HWY_INLINE float SumOfSquares(const T* x, int64_t width, float center) {
  const F32 d;
  const int64_t lanes = LanesF();
  const auto mean = hn::Set(d, center);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  const auto add = [&](VecF sum, VecF value) HWY_ATTR {
    const auto difference = hn::Sub(value, mean);
    return hn::MulAdd(difference, difference, sum);
  };
  int64_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    s0 = add(s0, Load(x + i));
    s1 = add(s1, Load(x + i + lanes));
    s2 = add(s2, Load(x + i + 2 * lanes));
    s3 = add(s3, Load(x + i + 3 * lanes));
  }
  for (; i + lanes <= width; i += lanes) s0 = add(s0, Load(x + i));
  float rest = 0;
  for (; i < width; ++i) {
    const float difference = static_cast<float>(x[i]) - center;
    rest += difference * difference;
  }
  return rest + hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

template <class T>
HWY_INLINE float Mean(const T* x, int64_t width) {
  const F32 d;
  const int64_t lanes = LanesF();
  auto s0 = hn::Zero(d), s1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    s0 = hn::Add(s0, Load(x + i));
    s1 = hn::Add(s1, Load(x + i + lanes));
  }
  for (; i + lanes <= width; i += lanes) s0 = hn::Add(s0, Load(x + i));
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
  for (; i < width; ++i) sum += static_cast<float>(x[i]);
  return sum / static_cast<float>(width);
}

// out = (x - center) * factor * (scale + offset) + shift; scale and shift may be absent.
template <class In, class Out>
HWY_INLINE void Modulate(const In* x, int64_t width, float center, float factor, const float* scale,
                         float offset, const float* shift, Out* out) {
  const F32 d;
  const int64_t lanes = LanesF();
  const auto mean = hn::Set(d, center);
  const auto times = hn::Set(d, factor);
  const auto added = hn::Set(d, offset);
  const auto plain = hn::Set(d, factor * (1 + offset));
  const auto finish = [&](VecF value, VecF weight, VecF bias) HWY_ATTR {
    const auto gain = scale == nullptr ? plain : hn::Mul(times, hn::Add(weight, added));
    return hn::MulAdd(hn::Sub(value, mean), gain, bias);
  };
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    const auto weight = scale == nullptr ? added : Load(scale + i);
    const auto bias = shift == nullptr ? hn::Zero(d) : Load(shift + i);
    Store(finish(Load(x + i), weight, bias), out + i);
  }
  if (const int64_t rest = width - i; rest > 0) {
    const auto weight = scale == nullptr ? added : LoadPart(scale + i, rest);
    const auto bias = shift == nullptr ? hn::Zero(d) : LoadPart(shift + i, rest);
    StorePart(finish(LoadPart(x + i, rest), weight, bias), out + i, rest);
  }
}

// Row of a modulation [D] or [B, D] that belongs to picture `b`; null where there is none.
inline const float* ModulationRow(ConstView value, int64_t b) {
  if (value.empty()) return nullptr;
  return value.Data<float>() + (value.shape.rank() == 2 ? b * value.strides[0] : 0);
}

void RmsNormRows(const RmsNormArgs& args, int64_t begin, int64_t end) {
  const int64_t width = args.x.shape[2];
  const int64_t group = width / args.groups;
  cpu::WithTypes(args.x.dtype, args.out.dtype, [&](auto in, auto to) {
    for (int64_t row = begin; row < end; ++row) {
      const auto* x = args.x.Data<decltype(in)>() + row * width;
      auto* out = args.out.Data<decltype(to)>() + row * width;
      const float* scale = ModulationRow(args.scale, row / args.x.shape[1]);
      const float* shift = ModulationRow(args.shift, row / args.x.shape[1]);
      for (int64_t first = 0; first < width; first += group) {
        const float mean_square = SumOfSquares(x + first, group, 0) / static_cast<float>(group);
        const float factor = 1 / std::sqrt(mean_square + args.eps);
        Modulate(x + first, group, 0, factor, scale == nullptr ? nullptr : scale + first,
                 args.scale_offset, shift == nullptr ? nullptr : shift + first, out + first);
      }
    }
  });
}

void LayerNormRows(const LayerNormArgs& args, int64_t begin, int64_t end) {
  const int64_t width = args.x.shape[2];
  cpu::WithTypes(args.x.dtype, args.out.dtype, [&](auto in, auto to) {
    for (int64_t row = begin; row < end; ++row) {
      const auto* x = args.x.Data<decltype(in)>() + row * width;
      const float mean = Mean(x, width);
      const float variance = SumOfSquares(x, width, mean) / static_cast<float>(width);
      const float factor = 1 / std::sqrt(variance + args.eps);
      const int64_t b = row / args.x.shape[1];
      Modulate(x, width, mean, factor, ModulationRow(args.scale, b), args.scale_offset,
               ModulationRow(args.shift, b), args.out.Data<decltype(to)>() + row * width);
    }
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RmsNormRows);
HWY_EXPORT(LayerNormRows);

void RmsNorm(Context&, const RmsNormArgs& args) {
  ParallelRange(args.x.shape[0] * args.x.shape[1], RowsATask(args.x.shape[2]),
                [&](int64_t begin, int64_t end) {
                  HWY_DYNAMIC_DISPATCH(RmsNormRows)(args, begin, end);
                });
}

void LayerNorm(Context&, const LayerNormArgs& args) {
  ParallelRange(args.x.shape[0] * args.x.shape[1], RowsATask(args.x.shape[2]),
                [&](int64_t begin, int64_t end) {
                  HWY_DYNAMIC_DISPATCH(LayerNormRows)(args, begin, end);
                });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
