// One head vector of Rope and of PrepareHeads.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/heads.h"
#include "kernels/rope.h"

namespace gesso::cuda {

// Where head h of token t of picture b begins; the last dimension is contiguous.
struct HeadStrides {
  int64_t picture = 0, token = 0, head = 0;

  HeadStrides() = default;
  explicit HeadStrides(ConstView view)
      : picture(view.strides[0]), token(view.strides[1]), head(view.strides[2]) {}
  GESSO_BOTH int64_t At(int64_t b, int64_t t, int64_t h) const {
    return b * picture + t * token + h * head;
  }
};

// row = (b * T + t) * H + h
struct RopeRow {
  Numbers x, scale, cos, sin;
  HeadStrides strides;
  int64_t tokens, heads, head_dim, half;  // T, H, D, R
  float eps;

  explicit RopeRow(const RopeArgs& args)
      : x(args.x),
        scale(args.scale),
        cos(args.cos),
        sin(args.sin),
        strides(args.x),
        tokens(args.x.shape[1]),
        heads(args.x.shape[2]),
        head_dim(args.x.shape[3]),
        half(args.cos.empty() ? 0 : args.cos.shape[2]),
        eps(args.eps) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t h = row % heads;
    const int64_t t = row / heads % tokens;
    const int64_t at = strides.At(row / heads / tokens, t, h);
    float factor = 1;
    if (!scale.absent()) {
      float square = 0;
      for (int64_t d = lanes.index(); d < head_dim; d += lanes.count()) {
        square += x.Get(at + d) * x.Get(at + d);
      }
      factor = sqrtf(scale.Get(h)) / sqrtf(lanes.Sum(square) + eps);
    }
    const int64_t angles = (t * heads + h) * half;
    for (int64_t i = lanes.index(); i < half; i += lanes.count()) {
      const float c = cos.Get(angles + i);
      const float s = sin.Get(angles + i);
      const float first = x.Get(at + i) * factor;
      const float second = x.Get(at + half + i) * factor;
      x.Set(at + i, first * c - second * s);
      x.Set(at + half + i, second * c + first * s);
    }
    for (int64_t d = 2 * half + lanes.index(); d < head_dim; d += lanes.count()) {
      x.Set(at + d, x.Get(at + d) * factor);
    }
  }
};

// row = (b * T + t) * H + h
struct PrepareHeadsRow {
  Numbers x, out, scale, cos, sin;
  const int32_t* positions;
  HeadStrides x_strides, out_strides;
  int64_t tokens, heads, head_dim;
  bool normalize;
  float eps;

  explicit PrepareHeadsRow(const PrepareHeadsArgs& args)
      : x(args.x),
        out(args.out),
        scale(args.scale),
        cos(args.cos),
        sin(args.sin),
        positions(static_cast<const int32_t*>(args.positions.data)),
        x_strides(args.x),
        out_strides(args.out),
        tokens(args.x.shape[1]),
        heads(args.x.shape[2]),
        head_dim(args.x.shape[3]),
        normalize(args.normalize),
        eps(args.eps) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t h = row % heads;
    const int64_t token = row / heads;  // b * T + t
    const int64_t from = x_strides.At(token / tokens, token % tokens, h);
    const int64_t to = out_strides.At(token / tokens, token % tokens, h);
    float factor = scale.GetOr(h, 1);
    if (normalize) {
      float square = 0;
      for (int64_t d = lanes.index(); d < head_dim; d += lanes.count()) {
        square += x.Get(from + d) * x.Get(from + d);
      }
      factor /= fmaxf(sqrtf(lanes.Sum(square)), eps);
    }
    const int64_t angles =
        (positions == nullptr ? token % tokens : positions[token]) * (head_dim / 2);
    for (int64_t i = lanes.index(); 2 * i < head_dim; i += lanes.count()) {
      const bool paired = 2 * i + 1 < head_dim;
      const float even = x.Get(from + 2 * i) * factor;
      const float odd = paired ? x.Get(from + 2 * i + 1) * factor : 0;
      const bool turned = paired && !cos.absent();
      const float c = turned ? cos.Get(angles + i) : 1;
      const float s = turned ? sin.Get(angles + i) : 0;
      out.Set(to + 2 * i, even * c - odd * s);
      if (paired) out.Set(to + 2 * i + 1, even * s + odd * c);
    }
  }
};

}  // namespace gesso::cuda
