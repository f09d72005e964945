#include "kernels/cpu/rope.h"

#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

template <class T>
HWY_INLINE float SumOfSquares(const T* x, int64_t width) {
  const F32 d;
  const int64_t lanes = LanesF();
  auto s0 = hn::Zero(d), s1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    const auto first = Load(x + i);
    const auto second = Load(x + i + lanes);
    s0 = hn::MulAdd(first, first, s0);
    s1 = hn::MulAdd(second, second, s1);
  }
  for (; i < width; i += lanes) {
    const auto value = width - i >= lanes ? Load(x + i) : LoadPart(x + i, width - i);
    s0 = hn::MulAdd(value, value, s0);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
}

// One head vector of `width` channels, 2 * half of which are rotated.
template <class T>
HWY_INLINE void RotateHead(T* x, int64_t width, float factor, const float* cosines,
                           const float* sines, int64_t half) {
  const int64_t lanes = LanesF();
  const auto times = hn::Set(F32(), factor);
  for (int64_t i = 0; i < half; i += lanes) {
    const int64_t left = half - i;
    if (left >= lanes) {
      const auto c = hn::Mul(times, Load(cosines + i));
      const auto s = hn::Mul(times, Load(sines + i));
      const auto first = Load(x + i);
      const auto second = Load(x + half + i);
      Store(hn::NegMulAdd(second, s, hn::Mul(first, c)), x + i);
      Store(hn::MulAdd(first, s, hn::Mul(second, c)), x + half + i);
    } else {
      const auto c = hn::Mul(times, LoadPart(cosines + i, left));
      const auto s = hn::Mul(times, LoadPart(sines + i, left));
      const auto first = LoadPart(x + i, left);
      const auto second = LoadPart(x + half + i, left);
      StorePart(hn::NegMulAdd(second, s, hn::Mul(first, c)), x + i, left);
      StorePart(hn::MulAdd(first, s, hn::Mul(second, c)), x + half + i, left);
    }
  }
  if (factor == 1) return;
  int64_t i = 2 * half;
  for (; i + lanes <= width; i += lanes) Store(hn::Mul(times, Load(x + i)), x + i);
  if (i < width) StorePart(hn::Mul(times, LoadPart(x + i, width - i)), x + i, width - i);
}

// Rows begin..end-1 of the B * T tokens.
void RopeRows(const RopeArgs& args, int64_t begin, int64_t end) {
  const View& view = args.x;
  const int64_t heads = view.shape[2];
  const int64_t distinct = DistinctHeads(args);
  const int64_t width = view.shape[3];
  const int64_t half = args.cos.empty() ? 0 : args.cos.shape[2];
  const float* cosines = args.cos.empty() ? nullptr : args.cos.Data<float>();
  const float* sines = args.sin.empty() ? nullptr : args.sin.Data<float>();
  const float* scale = args.scale.empty() ? nullptr : args.scale.Data<float>();
  cpu::WithTypes(view.dtype, view.dtype, [&](auto type, auto) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t token = row % view.shape[1];
      auto* x = view.Data<decltype(type)>() + row / view.shape[1] * view.strides[0] +
                token * view.strides[1];
      for (int64_t head = 0; head < heads; ++head, x += view.strides[2]) {
        const int64_t own = head % distinct;
        float factor = 1;
        if (scale != nullptr) {
          factor = std::sqrt(scale[own]) / std::sqrt(SumOfSquares(x, width) + args.eps);
        }
        const int64_t angles = (token * distinct + own) * half;
        RotateHead(x, width, factor, cosines + angles, sines + angles, half);
      }
    }
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RopeRows);

void Rope(Context&, const RopeArgs& args) {
  const Shape& s = args.x.shape;
  ParallelRange(s[0] * s[1], RowsATask(s[2] * s[3]), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RopeRows)(args, begin, end);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
