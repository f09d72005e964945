// Rows of norms: statistics by all lanes, then every lane scales its share.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/group_norm.h"
#include "kernels/norm.h"

namespace gesso::cuda {

// [D] shared or [B, D] a picture; absent: `without`.
struct Modulation {
  Numbers values;
  int64_t stride = 0;  // from picture to picture
  float without = 0;

  Modulation() = default;
  Modulation(ConstView view, float value)
      : values(view), stride(view.shape.rank() == 2 ? view.strides[0] : 0), without(value) {}
  GESSO_BOTH float At(int64_t picture, int64_t d) const {
    return values.GetOr(picture * stride + d, without);
  }
};

// One group of one row of RmsNorm; row = (b * R + r) * groups + group.
struct RmsNormRow {
  Numbers x, out;
  Modulation scale, shift;
  int64_t rows, width, groups;  // R, D
  float scale_offset, eps;

  explicit RmsNormRow(const RmsNormArgs& args)
      : x(args.x),
        out(args.out),
        scale(args.scale, 1),
        shift(args.shift, 0),
        rows(args.x.shape[1]),
        width(args.x.shape[2]),
        groups(args.groups),
        scale_offset(args.scale_offset),
        eps(args.eps) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t size = width / groups;
    const int64_t first = row % groups * size;
    const int64_t begin = row * size;
    const int64_t picture = row / groups / rows;
    float square = 0;
    for (int64_t d = lanes.index(); d < size; d += lanes.count()) {
      square += x.Get(begin + d) * x.Get(begin + d);
    }
    const float factor = 1 / sqrtf(lanes.Sum(square) / static_cast<float>(size) + eps);
    for (int64_t d = lanes.index(); d < size; d += lanes.count()) {
      const float gain = scale.At(picture, first + d) + scale_offset;
      out.Set(begin + d, x.Get(begin + d) * factor * gain + shift.At(picture, first + d));
    }
  }
};

struct LayerNormRow {
  Numbers x, out;
  Modulation scale, shift;
  int64_t rows, width;  // R, D
  float scale_offset, eps;

  explicit LayerNormRow(const LayerNormArgs& args)
      : x(args.x),
        out(args.out),
        scale(args.scale, 1),
        shift(args.shift, 0),
        rows(args.x.shape[1]),
        width(args.x.shape[2]),
        scale_offset(args.scale_offset),
        eps(args.eps) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t begin = row * width;
    const int64_t picture = row / rows;
    float sum = 0;
    for (int64_t d = lanes.index(); d < width; d += lanes.count()) sum += x.Get(begin + d);
    const float mean = lanes.Sum(sum) / static_cast<float>(width);
    float square = 0;  // about the mean: no cancellation
    for (int64_t d = lanes.index(); d < width; d += lanes.count()) {
      const float difference = x.Get(begin + d) - mean;
      square += difference * difference;
    }
    const float factor = 1 / sqrtf(lanes.Sum(square) / static_cast<float>(width) + eps);
    for (int64_t d = lanes.index(); d < width; d += lanes.count()) {
      const float gain = (scale.At(picture, d) + scale_offset) * factor;
      out.Set(begin + d, (x.Get(begin + d) - mean) * gain + shift.At(picture, d));
    }
  }
};

// One group of one picture of GroupNorm [B, P, C]; row = b * groups + group.
struct GroupNormRow {
  Numbers x, out, scale, shift;
  int64_t pixels, channels, groups;
  float eps;
  Activation activation;

  explicit GroupNormRow(const GroupNormArgs& args)
      : x(args.x),
        out(args.out),
        scale(args.scale),
        shift(args.shift),
        pixels(args.x.shape[1] * args.x.shape[2]),
        channels(args.x.shape[3]),
        groups(args.groups),
        eps(args.eps),
        activation(args.activation) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t size = channels / groups;
    const int64_t first = row % groups * size;
    const int64_t begin = row / groups * pixels * channels + first;
    const auto count = static_cast<float>(pixels * size);
    const auto at = [&](int64_t i) { return begin + i / size * channels + i % size; };
    float sum = 0;
    for (int64_t i = lanes.index(); i < pixels * size; i += lanes.count()) sum += x.Get(at(i));
    const float mean = lanes.Sum(sum) / count;
    float square = 0;
    for (int64_t i = lanes.index(); i < pixels * size; i += lanes.count()) {
      const float difference = x.Get(at(i)) - mean;
      square += difference * difference;
    }
    const float factor = 1 / sqrtf(lanes.Sum(square) / count + eps);
    for (int64_t i = lanes.index(); i < pixels * size; i += lanes.count()) {
      const int64_t c = first + i % size;
      const float gain = scale.GetOr(c, 1) * factor;
      out.Set(at(i), Activated(activation, (x.Get(at(i)) - mean) * gain + shift.GetOr(c, 0)));
    }
  }
};

}  // namespace gesso::cuda
