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

// A part of one of the B * T tokens.
void PrepareToken(const PrepareHeadsArgs& args, const HeadPart& part, int64_t token) {
  const Shape& s = part.x.shape;
  const int64_t b = token / s[1];
  const int64_t t = token % s[1];
  const float* scale = part.scale.empty() ? nullptr : part.scale.Data<float>();
  const int64_t row = args.positions.empty() ? t : args.positions.Data<int32_t>()[token];
  cpu::WithTypes(part.x.dtype, part.out.dtype, [&](auto in, auto to) {
    const auto* x = part.x.Data<decltype(in)>() + b * part.x.strides[0] + t * part.x.strides[1];
    auto* out = part.out.Data<decltype(to)>() + b * part.out.strides[0] + t * part.out.strides[1];
    for (int64_t h = 0; h < s[2]; ++h, x += part.x.strides[2], out += part.out.strides[2]) {
      float factor = scale == nullptr ? 1 : scale[h];
      if (part.normalize) factor /= std::max(std::sqrt(SumOfSquares(x, s[3])), args.eps);
      if (part.rotate) {
        RotateHead(x, s[3], factor, args.cos.Data<float>() + row * (s[3] / 2),
                   args.sin.Data<float>() + row * (s[3] / 2), out);
      } else {
        ScaleHead(x, s[3], factor, out);
      }
    }
  });
}

// Rows begin..end-1 of the B * T tokens, in the order in which parts of one projection lie.
void PrepareTokens(const PrepareHeadsArgs& args, int64_t begin, int64_t end) {
  for (int64_t token = begin; token < end; ++token) {
    for (const HeadPart& part : args.parts) PrepareToken(args, part, token);
  }
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(PrepareTokens);

void PrepareHeads(Context&, const PrepareHeadsArgs& args) {
  const Shape& s = args.parts[0].x.shape;
  // As many tokens a task as of one part: with fewer, threads write close to each other in a cache,
  // which takes longer.
  ParallelRange(s[0] * s[1], RowsATask(s[2] * s[3]), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(PrepareTokens)(args, begin, end);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
