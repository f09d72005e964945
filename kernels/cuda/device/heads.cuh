// One head vector of Rope and of PrepareHeads. In quads (quads.cuh) it stays in registers: two of
// each lane, so that a warp takes four heads of 64 numbers.
#pragma once

#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/quads.cuh"
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
  // Whether heads of `numbers` and what lies between them are whole quads.
  bool InQuads(const Numbers& numbers) const {
    return HasQuads(numbers, picture) && token % kQuad == 0 && head % kQuad == 0;
  }
};

constexpr int kHeadQuads = 2;                                            // of a lane
constexpr int64_t kMostHeadQuads = int64_t{kWarp} * kHeadQuads * kQuad;  // numbers of a head

// row = (b * T + t) * H + h
struct RopeRow {
  Numbers x, scale, cos, sin;
  HeadStrides strides;
  int64_t pictures, head_dim, half;  // B, D, R
  Divisor tokens, heads, distinct;   // T, H, S
  float eps;

  explicit RopeRow(const RopeArgs& args)
      : x(args.x),
        scale(args.scale),
        cos(args.cos),
        sin(args.sin),
        strides(args.x),
        pictures(args.x.shape[0]),
        head_dim(args.x.shape[3]),
        half(args.cos.empty() ? 0 : args.cos.shape[2]),
        tokens(args.x.shape[1]),
        heads(args.x.shape[2]),
        distinct(DistinctHeads(args)),
        eps(args.eps) {}

  int64_t Rows() const { return pictures * tokens * heads; }
  bool InQuads() const {
    return strides.InQuads(x) && HasQuads(cos, half) && HasQuads(sin) &&
           head_dim % (kHeadQuads * kQuad) == 0 && head_dim <= kMostHeadQuads;
  }

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t h = row % heads;
    const int64_t own = h % distinct;
    const int64_t t = row / heads % tokens;
    const int64_t at = strides.At(row / heads / tokens, t, h);
    float factor = 1;
    if (!scale.absent()) {
      float square = 0;
      for (int64_t d = lanes.index(); d < head_dim; d += lanes.count()) {
        square += x.Get(at + d) * x.Get(at + d);
      }
      factor = sqrtf(scale.Get(own)) / sqrtf(lanes.Sum(square) + eps);
    }
    const int64_t angles = (t * distinct + own) * half;
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

// The same where InQuads().
struct RopeQuads : RopeRow {
  explicit RopeQuads(const RopeRow& row) : RopeRow(row) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t h = row % heads;
    const int64_t token = row / heads;  // b * T + t
    const int64_t at = strides.At(token / tokens, token % tokens, h);
    const int64_t own = h % distinct;
    const int64_t angles = (token % tokens * distinct + own) * half;
    // Asked for before x, which they come with.
    const QuadPlaces turns(lanes, half);
    const auto cosines = GetFloatQuadsOr<1>(cos, angles, turns, 1);
    const auto sines = GetFloatQuadsOr<1>(sin, angles, turns, 0);
    const float square_of_length = scale.absent() ? 1 : static_cast<const float*>(scale.data)[own];
    const Places places(lanes, *this);
    auto pair = GetQuads<kHeadQuads>(x, at, places);
    float factor = 1;
    if (!scale.absent()) {
      float square = 0;
      pair.ForEach([&](float number, int, int) { square += number * number; });
      factor = sqrtf(square_of_length) * InverseRoot(lanes.Sum(square) + eps);
    }
    GESSO_UNROLL for (int k = 0; k < kQuad; ++k) {
      const float c = turns.Has(0) ? cosines.at[0][k] : 1;
      const float s = turns.Has(0) ? sines.at[0][k] : 0;
      const float first = pair.at[0][k] * factor;
      const float second = pair.at[1][k] * factor;
      pair.at[0][k] = first * c - second * s;
      pair.at[1][k] = second * c + first * s;
    }
    SetQuads(x, at, places, pair);
  }

 private:
  // Two quads that turn together, or, where no more do, two of the rest.
  struct Places {
    int first, between, lane_end;

    template <class Lanes>
    GESSO_BOTH Places(const Lanes& lanes, const RopeRow& row) {
      const int index = lanes.index() * kQuad;
      const int half = static_cast<int>(row.half);
      const int size = static_cast<int>(row.head_dim);
      const bool turns = index < half;
      first = turns ? index : index + half;
      between = turns ? half : size / 2 - half;
      lane_end = turns || index < size / 2 ? size : 0;
    }
    GESSO_BOTH int At(int i) const { return first + i * between; }
    GESSO_BOTH bool Has(int i) const { return At(i) < lane_end; }
  };
};

// row = (b * T + t) * H + h
struct PrepareHeadsRow {
  Numbers x, out, scale, cos, sin;
  const int32_t* positions;
  HeadStrides x_strides, out_strides;
  int64_t pictures, head_dim, angle_rows;  // B, D, M
  Divisor tokens, heads;                   // T, H
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
        pictures(args.x.shape[0]),
        head_dim(args.x.shape[3]),
        angle_rows(args.cos.empty() ? 0 : args.cos.shape[0]),
        tokens(args.x.shape[1]),
        heads(args.x.shape[2]),
        normalize(args.normalize),
        eps(args.eps) {}

  int64_t Rows() const { return pictures * tokens * heads; }
  bool InQuads() const {
    return x_strides.InQuads(x) && out_strides.InQuads(out) && HasQuads(cos, head_dim) &&
           HasQuads(sin) && head_dim <= kMostHeadQuads;
  }

  // Where the angles of token b * T + t begin; of one that has none, which the host did not look
  // for, a head becomes NaN.
  GESSO_BOTH int64_t AnglesOf(int64_t token, float& factor) const {
    const int64_t m = positions == nullptr ? token % tokens : positions[token];
    if (m >= 0 && m < angle_rows) return m * (head_dim / 2);
    factor = kNoNumber;
    return 0;
  }

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
    const int64_t angles = cos.absent() ? 0 : AnglesOf(token, factor);
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

// The same where InQuads().
struct PrepareHeadsQuads : PrepareHeadsRow {
  float most;  // what a vector of no length is multiplied by

  explicit PrepareHeadsQuads(const PrepareHeadsRow& row) : PrepareHeadsRow(row), most(1 / eps) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t h = row % heads;
    const int64_t token = row / heads;  // b * T + t
    const QuadPlaces places(lanes, head_dim);
    Angles turns[kHeadQuads] = {};
    float factor = scale.absent() ? 1 : static_cast<const float*>(scale.data)[h];
    if (!cos.absent()) ReadAngles(AnglesOf(token, factor), places, turns);
    auto pairs = GetQuads<kHeadQuads>(x, x_strides.At(token / tokens, token % tokens, h), places);
    if (normalize) {
      float square = 0;
      pairs.ForEach([&](float number, int, int) { square += number * number; });
      factor *= fminf(InverseRoot(lanes.Sum(square)), most);
    }
    pairs.ForEach([&](float& number, int, int) { number *= factor; });
    if (!cos.absent()) {
      GESSO_UNROLL for (int i = 0; i < kHeadQuads; ++i) Turn(turns[i], pairs.at[i]);
    }
    SetQuads(out, out_strides.At(token / tokens, token % tokens, h), places, pairs);
  }

 private:
  struct alignas(8) OfPairs {
    float at[kQuad / 2];
  };
  // Of the two pairs of a quad.
  struct Angles {
    OfPairs cos, sin;
  };

  GESSO_BOTH void ReadAngles(int64_t angles, const QuadPlaces& places,
                             Angles (&to)[kHeadQuads]) const {
    GESSO_UNROLL for (int i = 0; i < kHeadQuads; ++i) {
      if (!places.Has(i)) continue;
      const int64_t at = angles + places.At(i) / 2;
      to[i].cos = *reinterpret_cast<const OfPairs*>(static_cast<const float*>(cos.data) + at);
      to[i].sin = *reinterpret_cast<const OfPairs*>(static_cast<const float*>(sin.data) + at);
    }
  }

  GESSO_BOTH static void Turn(const Angles& by, float (&quad)[kQuad]) {
    GESSO_UNROLL for (int k = 0; k < kQuad; k += 2) {
      const float c = by.cos.at[k / 2];
      const float s = by.sin.at[k / 2];
      const float even = quad[k];
      const float odd = quad[k + 1];
      quad[k] = even * c - odd * s;
      quad[k + 1] = even * s + odd * c;
    }
  }
};

}  // namespace gesso::cuda
