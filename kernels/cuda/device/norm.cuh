// Rows of norms: statistics by all lanes, then every lane scales its share. In quads (quads.cuh)
// the row stays in registers in between; where it is too wide or does not lie so, it is read anew.
#pragma once

#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/quads.cuh"
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
  template <int kQuads>
  GESSO_BOTH Quads<kQuads> At(int64_t picture, int64_t d, const QuadPlaces& places) const {
    return GetFloatQuadsOr<kQuads>(values, picture * stride + d, places, without);
  }
  bool InQuads() const { return HasQuads(values, stride); }
};

// What rows of both norms are made of; row = (b * R + r) * groups + group.
struct NormRow {
  Numbers x, out;
  Modulation scale, shift;
  int64_t pictures, size;  // B and D / groups
  Divisor rows, groups;    // R
  float scale_offset, eps;

  template <class Args>
  NormRow(const Args& args, int64_t group_count)
      : x(args.x),
        out(args.out),
        scale(args.scale, 1),
        shift(args.shift, 0),
        pictures(args.x.shape[0]),
        size(args.x.shape[2] / group_count),
        rows(args.x.shape[1]),
        groups(group_count),
        scale_offset(args.scale_offset),
        eps(args.eps) {}

  int64_t Rows() const { return pictures * rows * groups; }
  bool InQuads() const {
    return HasQuads(x, size) && HasQuads(out) && scale.InQuads() && shift.InQuads();
  }
};

struct RmsNormRow : NormRow {
  explicit RmsNormRow(const RmsNormArgs& args) : NormRow(args, args.groups) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
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

// The same where InQuads() and kQuads of each lane hold a group.
template <int kQuads>
struct RmsNormQuads : RmsNormRow {
  float share;  // of one number in the mean

  explicit RmsNormQuads(const RmsNormRow& row)
      : RmsNormRow(row), share(1 / static_cast<float>(size)) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const QuadPlaces places(lanes, size);
    SetQuads(out, row * size, places, RowOf(row, lanes, places));
  }
  // The row as lanes hold it; what they hold beyond its end is 0, or NaN where the factor is.
  template <class Lanes>
  GESSO_BOTH Quads<kQuads> RowOf(int64_t row, const Lanes& lanes, const QuadPlaces& places) const {
    const int64_t first = row % groups * size;
    const int64_t picture = row / groups / rows;
    // Not after the sum, which would wait for them: they come while x does.
    const Quads<kQuads> gains = scale.At<kQuads>(picture, first, places);
    const Quads<kQuads> offsets = shift.At<kQuads>(picture, first, places);
    Quads<kQuads> numbers = GetQuads<kQuads>(x, row * size, places);
    float square = 0;
    numbers.ForEach([&](float number, int, int) { square += number * number; });
    const float factor = InverseRoot(lanes.Sum(square) * share + eps);
    numbers.ForEach([&](float& number, int i, int k) {
      number = number * factor * (gains.at[i][k] + scale_offset) + offsets.at[i][k];
    });
    return numbers;
  }
};

struct LayerNormRow : NormRow {
  explicit LayerNormRow(const LayerNormArgs& args) : NormRow(args, 1) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t begin = row * size;
    const int64_t picture = row / rows;
    float sum = 0;
    for (int64_t d = lanes.index(); d < size; d += lanes.count()) sum += x.Get(begin + d);
    const float mean = lanes.Sum(sum) / static_cast<float>(size);
    float square = 0;  // about the mean: no cancellation
    for (int64_t d = lanes.index(); d < size; d += lanes.count()) {
      const float difference = x.Get(begin + d) - mean;
      square += difference * difference;
    }
    const float factor = 1 / sqrtf(lanes.Sum(square) / static_cast<float>(size) + eps);
    for (int64_t d = lanes.index(); d < size; d += lanes.count()) {
      const float gain = (scale.At(picture, d) + scale_offset) * factor;
      out.Set(begin + d, (x.Get(begin + d) - mean) * gain + shift.At(picture, d));
    }
  }
};

// The same where InQuads() and kQuads of each lane hold a row.
template <int kQuads>
struct LayerNormQuads : LayerNormRow {
  float share;  // of one number in the mean

  explicit LayerNormQuads(const LayerNormRow& row)
      : LayerNormRow(row), share(1 / static_cast<float>(size)) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const QuadPlaces places(lanes, size);
    SetQuads(out, row * size, places, RowOf(row, lanes, places));
  }
  // As that of RmsNormQuads.
  template <class Lanes>
  GESSO_BOTH Quads<kQuads> RowOf(int64_t row, const Lanes& lanes, const QuadPlaces& places) const {
    const int64_t picture = row / rows;
    const Quads<kQuads> gains = scale.At<kQuads>(picture, 0, places);
    const Quads<kQuads> offsets = shift.At<kQuads>(picture, 0, places);
    Quads<kQuads> numbers = GetQuads<kQuads>(x, row * size, places);
    float sum = 0;
    numbers.ForEach([&](float number, int, int) { sum += number; });
    const float mean = lanes.Sum(sum) * share;
    float square = 0;  // about the mean: no cancellation
    numbers.ForEach([&](float& number, int i, int) {
      number = places.Has(i) ? number - mean : 0;
      square += number * number;
    });
    const float factor = InverseRoot(lanes.Sum(square) * share + eps);
    numbers.ForEach([&](float& number, int i, int k) {
      number = number * ((gains.at[i][k] + scale_offset) * factor) + offsets.at[i][k];
    });
    return numbers;
  }
};

}  // namespace gesso::cuda
