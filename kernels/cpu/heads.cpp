#include "kernels/cpu/heads.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/heads.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

template <class T>
HWY_INLINE float SumOfSquares(const T* x, int64_t width) {
  const int64_t lanes = LanesF();
  auto sum = hn::Zero(F32());
  for (int64_t i = 0; i < width; i += lanes) {
    const auto value = width - i >= lanes ? Load(x + i) : LoadPart(x + i, width - i);
    sum = hn::MulAdd(value, value, sum);
  }
  return hn::GetLane(hn::SumOfLanes(F32(), sum));
}

template <class In, class Out>
HWY_INLINE void ScaleHead(const In* x, int64_t width, float factor, Out* out) {
  const int64_t lanes = LanesF();
  const auto times = hn::Set(F32(), factor);
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes) Store(hn::Mul(times, Load(x + i)), out + i);
  if (i < width) StorePart(hn::Mul(times, LoadPart(x + i, width - i)), out + i, width - i);
}

// Angle i of the first `count` / 2 stands in lanes 2i and 2i + 1.
HWY_INLINE VecF TwiceEach(const float* angles, int64_t count) {
  HWY_ALIGN int32_t lanes[HWY_LANES(float)];
  for (size_t i = 0; i < HWY_LANES(float); ++i) lanes[i] = static_cast<int32_t>(i / 2);
  return hn::TableLookupLanes(LoadPart(angles, count / 2), hn::SetTableIndices(F32(), lanes));
}

// A head whose channel pairs are turned by the angles.
template <class In, class Out>
HWY_INLINE void RotateHead(const In* x, int64_t width, float factor, const float* cosines,
                           const float* sines, Out* out) {
  const int64_t lanes = LanesF();
  const auto times = hn::Set(F32(), factor);
  for (int64_t i = 0; i < width; i += lanes) {
    const int64_t count = std::min(lanes, width - i);
    const auto value = hn::Mul(times, count == lanes ? Load(x + i) : LoadPart(x + i, count));
    const auto c = TwiceEach(cosines + i / 2, count);
    const auto s = TwiceEach(sines + i / 2, count);
    const auto turned =
        hn::MulAdd(value, c, hn::Mul(hn::Reverse2(F32(), value), hn::OddEven(s, hn::Neg(s))));
    if (count == lanes) {
      Store(turned, out + i);
    } else {
      StorePart(turned, out + i, count);
    }
  }
}

// Rows begin..end-1 of the B * T tokens.
void PrepareTokens(const PrepareHeadsArgs& args, int64_t begin, int64_t end) {
  const Shape& s = args.x.shape;
  const float* scale = args.scale.empty() ? nullptr : args.scale.Data<float>();
  cpu::WithTypes(args.x.dtype, args.out.dtype, [&](auto in, auto to) {
    for (int64_t token = begin; token < end; ++token) {
      const int64_t b = token / s[1];
      const int64_t t = token % s[1];
      const auto* x = args.x.Data<decltype(in)>() + b * args.x.strides[0] + t * args.x.strides[1];
      auto* out = args.out.Data<decltype(to)>() + b * args.out.strides[0] + t * args.out.strides[1];
      const int64_t row = args.positions.empty() ? t : args.positions.Data<int32_t>()[token];
      for (int64_t h = 0; h < s[2]; ++h, x += args.x.strides[2], out += args.out.strides[2]) {
        float factor = scale == nullptr ? 1 : scale[h];
        if (args.normalize) factor /= std::max(std::sqrt(SumOfSquares(x, s[3])), args.eps);
        if (args.cos.empty()) {
          ScaleHead(x, s[3], factor, out);
        } else {
          RotateHead(x, s[3], factor, args.cos.Data<float>() + row * (s[3] / 2),
                     args.sin.Data<float>() + row * (s[3] / 2), out);
        }
      }
    }
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(PrepareTokens);

void PrepareHeads(Context&, const PrepareHeadsArgs& args) {
  const Shape& s = args.x.shape;
  ParallelRange(s[0] * s[1], RowsATask(s[2] * s[3]), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(PrepareTokens)(args, begin, end);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
