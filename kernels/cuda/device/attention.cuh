// One query of an attention: scores of a few keys at a time (a key a lane), a running softmax, and
// sums in which every lane keeps its own channels. Milakov & Gimelshein 2018, "Online normalizer
// calculation for softmax"; Dao et al. 2022, "FlashAttention".
#pragma once

#include "kernels/cuda/device/attention_keys.cuh"
#include "kernels/cuda/device/heads.cuh"

namespace gesso::cuda {

// The tokens of a grid [B, Y, X, H, D], whose rows follow one another, as a sequence.
template <class AnyView>
AnyView AsSequence(AnyView grid) {
  if (grid.shape.rank() == 4) return grid;
  AnyView tokens = grid;
  const Shape& s = grid.shape;
  tokens.shape = {s[0], s[1] * s[2], s[3], s[4]};
  tokens.strides = {grid.strides[0], grid.strides[2], grid.strides[3], grid.strides[4]};
  return tokens;
}

// row = (b * Tq + t) * H + h. kShare: channels a lane keeps, at least ceil(D / lanes).
template <class Keys, int kShare>
struct AttentionRow {
  Numbers q, k, v, out;  // out contiguous
  HeadStrides q_strides, k_strides, v_strides;
  int64_t queries, heads, head_dim;
  float scale;
  Keys keys;

  template <class Args>
  explicit AttentionRow(const Args& args)
      : q(args.q),
        k(args.k),
        v(args.v),
        out(args.out),
        q_strides(AsSequence(args.q)),
        k_strides(AsSequence(args.k)),
        v_strides(AsSequence(args.v)),
        queries(AsSequence(args.q).shape[1]),
        heads(args.q.shape[-2]),
        head_dim(args.q.shape[-1]),
        scale(args.scale),
        keys(args) {}
  int64_t Rows(int64_t pictures) const { return pictures * queries * heads; }

  GESSO_BOTH float Score(int64_t b, int64_t query, int64_t h, int64_t j) const {
    const int64_t key = keys.At(query, j);
    const int64_t from = q_strides.At(b, query, h);
    const int64_t to = k_strides.At(b, key, h);
    float dot = 0;
    for (int64_t d = 0; d < head_dim; ++d) dot += q.Get(from + d) * k.Get(to + d);
    const float* bias = keys.BiasOf(h, query);
    return dot * scale + (bias == nullptr ? 0 : bias[j]);
  }

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t h = row % heads;
    const int64_t query = row / heads % queries;
    const int64_t b = row / heads / queries;
    const int64_t count = keys.count(query);
    float sums[kShare] = {};
    float total = 0;
    float highest = -INFINITY;
    for (int64_t first = 0; first < count; first += lanes.count()) {
      const int64_t mine = first + lanes.index();
      const bool takes = mine < count && keys.Takes(b, mine);
      const float score = takes ? Score(b, query, h, mine) : -INFINITY;
      const float peak = lanes.Max(fmaxf(score, highest));
      if (peak == -INFINITY) continue;  // no key so far
      const float weight = takes ? expf(score - peak) : 0;
      const float kept = expf(highest - peak);
      highest = peak;
      total = total * kept + lanes.Sum(weight);
      for (float& sum : sums) sum *= kept;
      const int64_t here = count - first < lanes.count() ? count - first : lanes.count();
      for (int64_t j = 0; j < here; ++j) {
        const float share = lanes.From(weight, static_cast<int>(j));
        const int64_t at = v_strides.At(b, keys.At(query, first + j), h);
        for (int i = 0; i < kShare; ++i) {
          const int64_t d = lanes.index() + static_cast<int64_t>(i) * lanes.count();
          if (d < head_dim) sums[i] += share * v.Get(at + d);
        }
      }
    }
    for (int i = 0; i < kShare; ++i) {
      const int64_t d = lanes.index() + static_cast<int64_t>(i) * lanes.count();
      if (d < head_dim) out.Set(row * head_dim + d, total == 0 ? 0 : sums[i] / total);
    }
  }
};

}  // namespace gesso::cuda
