// One head vector of Rope and of PrepareHeads. In quads (quads.cuh) it stays in registers: two of
// each lane, so that a warp takes four heads of 64 numbers.
#pragma once

#include <algorithm>

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

// Head h of part p of P: row = ((b * T + t) * P + p) * H + h, below 2^31.
struct PrepareHeadsRow {
  struct Part {
    Numbers x, scale, out;
    HeadStrides x_strides, out_strides;
    bool normalize, rotate;

    bool InQuads() const { return x_strides.InQuads(x) && out_strides.InQuads(out); }
  };
  Part parts[kMostHeadParts];
  Numbers cos, sin;
  const int32_t* positions;
  int64_t pictures, head_dim;        // B, D
  SmallDivisor tokens, a_token;      // T, P * H
  uint32_t heads, half, angle_rows;  // H, D / 2, M
  float eps;
  int count = 0;  // P

  explicit PrepareHeadsRow(const PrepareHeadsArgs& args)
      : cos(args.cos),
        sin(args.sin),
        positions(static_cast<const int32_t*>(args.positions.data)),
        pictures(args.parts[0].x.shape[0]),
        head_dim(args.parts[0].x.shape[3]),
        tokens(args.parts[0].x.shape[1]),
        a_token(static_cast<int64_t>(args.parts.size()) * args.parts[0].x.shape[2]),
        heads(static_cast<uint32_t>(args.parts[0].x.shape[2])),
        half(static_cast<uint32_t>(head_dim / 2)),
        angle_rows(args.cos.empty() ? 0 : static_cast<uint32_t>(args.cos.shape[0])),
        eps(args.eps) {
    for (const HeadPart& part : args.parts) {
      parts[count++] = {Numbers(part.x),     Numbers(part.scale),   Numbers(part.out),
                        HeadStrides(part.x), HeadStrides(part.out), part.normalize,
                        part.rotate};
    }
  }

  int64_t Rows() const { return pictures * tokens.value * a_token.value; }
  bool InQuads() const {
    return std::all_of(parts, parts + count, [](const Part& part) { return part.InQuads(); }) &&
           HasQuads(cos, head_dim) && HasQuads(sin) && head_dim <= kMostHeadQuads;
  }

  struct Place {
    uint32_t picture, token, part, head;
  };
  // Without a division by H, as there are few parts.
  GESSO_BOTH Place PlaceOf(int64_t row) const {
    const uint32_t all = static_cast<uint32_t>(row) / a_token;
    const uint32_t own = static_cast<uint32_t>(row) - all * a_token.value;
    uint32_t part = 0;
    GESSO_UNROLL for (uint32_t i = 1; i < kMostHeadParts; ++i) part += own >= i * heads ? 1 : 0;
    const uint32_t picture = all / tokens;
    return {picture, all - picture * tokens.value, part, own - part * heads};
  }

  // Where the angles of a token begin; of one that has none, which the host did not look for, a
  // head becomes NaN.
  GESSO_BOTH int64_t AnglesOf(const Place& at, float& factor) const {
    const uint32_t token = at.picture * tokens.value + at.token;
    // A negative position is beyond them as well.
    const uint32_t m = positions == nullptr ? at.token : static_cast<uint32_t>(positions[token]);
    if (m < angle_rows) return int64_t{m} * half;
    factor = kNoNumber;
    return 0;
  }

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const Place at = PlaceOf(row);
    const Part& part = parts[at.part];
    const int64_t from = part.x_strides.At(at.picture, at.token, at.head);
    const int64_t to = part.out_strides.At(at.picture, at.token, at.head);
    float factor = part.scale.GetOr(at.head, 1);
    if (part.normalize) {
      float square = 0;
      for (int64_t d = lanes.index(); d < head_dim; d += lanes.count()) {
        square += part.x.Get(from + d) * part.x.Get(from + d);
      }
      factor /= fmaxf(sqrtf(lanes.Sum(square)), eps);
    }
    const int64_t angles = part.rotate ? AnglesOf(at, factor) : 0;
    for (int64_t i = lanes.index(); 2 * i < head_dim; i += lanes.count()) {
      const bool paired = 2 * i + 1 < head_dim;
      const float even = part.x.Get(from + 2 * i) * factor;
      const float odd = paired ? part.x.Get(from + 2 * i + 1) * factor : 0;
      const bool turned = paired && part.rotate;
      const float c = turned ? cos.Get(angles + i) : 1;
      const float s = turned ? sin.Get(angles + i) : 0;
      part.out.Set(to + 2 * i, even * c - odd * s);
      if (paired) part.out.Set(to + 2 * i + 1, even * s + odd * c);
    }
  }
};

// The same where InQuads().
struct PrepareHeadsQuads : PrepareHeadsRow {
  float most;  // what a vector of no length is multiplied by

  explicit PrepareHeadsQuads(const PrepareHeadsRow& row) : PrepareHeadsRow(row), most(1 / eps) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const Place at = PlaceOf(row);
    const Part& part = parts[at.part];
    const QuadPlaces places(lanes, head_dim);
    Angles turns[kHeadQuads] = {};
    float factor = part.scale.absent() ? 1 : static_cast<const float*>(part.scale.data)[at.head];
    if (part.rotate) ReadAngles(AnglesOf(at, factor), places, turns);
    auto pairs =
        GetQuads<kHeadQuads>(part.x, part.x_strides.At(at.picture, at.token, at.head), places);
    if (part.normalize) {
      float square = 0;
      pairs.ForEach([&](float number, int, int) { square += number * number; });
      factor *= fminf(InverseRoot(lanes.Sum(square)), most);
    }
    pairs.ForEach([&](float& number, int, int) { number *= factor; });
    if (part.rotate) {
      GESSO_UNROLL for (int i = 0; i < kHeadQuads; ++i) Turn(turns[i], pairs.at[i]);
    }
    SetQuads(part.out, part.out_strides.At(at.picture, at.token, at.head), places, pairs);
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
    const int64_t first = angles + places.At(0) / 2;
    const auto* const cosines = static_cast<const float*>(cos.data) + first;
    const auto* const sines = static_cast<const float*>(sin.data) + first;
    GESSO_UNROLL for (int i = 0; i < kHeadQuads; ++i) {
      if (!places.Has(i)) continue;
      const int at = i * places.step / 2;
      to[i].cos = *reinterpret_cast<const OfPairs*>(cosines + at);
      to[i].sin = *reinterpret_cast<const OfPairs*>(sines + at);
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
