// One element of the ops on pictures and maps.
#pragma once

#include "kernels/blend.h"
#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/vectors.cuh"
#include "kernels/resize.h"

namespace gesso::cuda {

// What an output index reads along one axis.
struct AxisTaps {
  static constexpr int kMost = 4;
  int64_t first, last;  // indices from `first` on, those beyond 0 .. `last` at the border
  int64_t count;
  bool even;             // each with the same weight, 1 / count
  float weights[kMost];  // if not even

  GESSO_BOTH float WeightOf(int64_t tap) const {
    return even ? 1 / static_cast<float>(count) : weights[tap];
  }
  GESSO_BOTH int64_t IndexOf(int64_t tap) const {
    const int64_t index = first + tap;
    return index < 0 ? 0 : index > last ? last : index;
  }
};

// Keys' kernel at the distance t >= 0.
GESSO_BOTH float CubicWeight(float t) {
  constexpr float kA = -0.75f;
  if (t <= 1) return ((kA + 2) * t - (kA + 3)) * t * t + 1;
  if (t >= 2) return 0;
  return ((kA * t - 5 * kA) * t + 8 * kA) * t - 4 * kA;
}

GESSO_BOTH AxisTaps TapsOf(Resampling resampling, int64_t i, int64_t in, const Divisor& out) {
  AxisTaps taps{i * in / out, in - 1, 1, true, {}};
  if (resampling == Resampling::kNearest) return taps;
  if (resampling == Resampling::kArea) {
    taps.count = ((i + 1) * in + out - 1) / out - taps.first;
    return taps;
  }
  // (i + 0.5) in / out - 0.5 as a whole number and a rest, without rounding in between.
  const int64_t numerator = (2 * i + 1) * in - out;
  const int64_t denominator = 2 * out;
  int64_t left = numerator < 0 ? -1 : numerator / 2 / out;
  float share =
      static_cast<float>(numerator - left * denominator) / static_cast<float>(denominator);
  taps.even = false;
  if (resampling == Resampling::kBilinear) {
    if (left < 0) {
      left = 0;
      share = 0;
    }
    taps.first = left;
    taps.count = 2;
    taps.weights[0] = 1 - share;
    taps.weights[1] = share;
    return taps;
  }
  taps.first = left - 1;
  taps.count = 4;
  for (int tap = 0; tap < 4; ++tap) {
    taps.weights[tap] = CubicWeight(fabsf(share - static_cast<float>(tap - 1)));
  }
  return taps;
}

// i counts the elements of out [B, H', W', C].
struct ResizeElement {
  static constexpr int kNumbers = kVector;
  Numbers x, out;
  int64_t height, width;
  Divisor out_height, out_width, channels;
  Resampling resampling;

  explicit ResizeElement(const ResizeArgs& args)
      : x(args.x),
        out(args.out),
        height(args.x.shape[1]),
        width(args.x.shape[2]),
        out_height(args.out.shape[1]),
        out_width(args.out.shape[2]),
        channels(args.x.shape[3]),
        resampling(args.resampling) {}

  bool TakesVectors() const { return channels % kNumbers == 0 && HasVectors(x) && HasVectors(out); }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const auto [b, row, column, channel] = GridPlace(i, out_height, out_width, channels);
    const AxisTaps rows = TapsOf(resampling, row, height, out_height);
    const AxisTaps columns = TapsOf(resampling, column, width, out_width);
    auto sum = AllOf<kCount>(0);
    for (int64_t r = 0; r < rows.count; ++r) {
      const int64_t line = (b * height + rows.IndexOf(r)) * width;
      auto part = AllOf<kCount>(0);
      for (int64_t c = 0; c < columns.count; ++c) {
        const float weight = columns.WeightOf(c);
        const auto from = GetSeveral<kCount>(x, (line + columns.IndexOf(c)) * channels + channel);
        GESSO_UNROLL for (int k = 0; k < kCount; ++k) part.at[k] += weight * from.at[k];
      }
      const float weight = rows.WeightOf(r);
      GESSO_UNROLL for (int k = 0; k < kCount; ++k) sum.at[k] += weight * part.at[k];
    }
    SetSeveral(out, i, sum);
  }
};

// i counts the elements of x [B, C, H, W].
struct FadeInElement {
  const float* x;
  float* out;
  Divisor shape[4];
  int64_t strides[4], out_strides[4];
  int64_t rows, columns;

  explicit FadeInElement(const FadeInArgs& args)
      : x(static_cast<const float*>(args.x.data)),
        out(static_cast<float*>(args.out.data)),
        rows(args.rows),
        columns(args.columns) {
    for (int axis = 0; axis < 4; ++axis) {
      shape[axis] = args.x.shape[axis];
      strides[axis] = args.x.strides[static_cast<size_t>(axis)];
      out_strides[axis] = args.out.strides[static_cast<size_t>(axis)];
    }
  }

  GESSO_BOTH static float Weight(int64_t position, int64_t fading) {
    if (position >= fading) return 1;
    return (static_cast<float>(position) + 0.5f) / static_cast<float>(fading);
  }
  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t line = i / shape[3];
    const int64_t column = i - line * shape[3];
    const int64_t plane = line / shape[2];
    const int64_t row = line - plane * shape[2];
    const int64_t b = plane / shape[1];
    const int64_t c = plane - b * shape[1];
    const auto at = [&](const int64_t* by) {
      return b * by[0] + c * by[1] + row * by[2] + column * by[3];
    };
    const float weight = Weight(row, rows) * Weight(column, columns);
    float& to = out[at(out_strides)];
    const float value = x[at(strides)];
    to = weight == 1 ? value : (1 - weight) * to + weight * value;
  }
};

// i counts the elements of out [B, C, H, W].
struct HoldElement {
  const float* known;
  const float* amount;
  float* out;
  Divisor picture, pixels;  // C * H * W, H * W
  float threshold;

  explicit HoldElement(const HoldArgs& args)
      : known(static_cast<const float*>(args.known.data)),
        amount(static_cast<const float*>(args.amount.data)),
        out(static_cast<float*>(args.out.data)),
        picture(args.known.numel()),
        pixels(args.amount.numel()),
        threshold(static_cast<float>(args.threshold)) {}

  GESSO_BOTH void operator()(int64_t i) const {
    if (amount[i % pixels] < threshold) out[i] = known[i % picture];
  }
};

}  // namespace gesso::cuda
