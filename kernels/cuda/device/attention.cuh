// One query of an attention: scores of a few keys at a time (a key a lane), a running softmax, and
// sums in which every lane keeps its own channels. Milakov & Gimelshein 2018, "Online normalizer
// calculation for softmax"; Dao et al. 2022, "FlashAttention".
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/device/heads.cuh"

namespace gesso::cuda {

// All keys of a sequence, with an optional bias and mask.
struct AllKeys {
  Numbers bias;           // [H, Tq, Tk]
  const int32_t* masked;  // [B, Tk], 0 takes no part; or null
  int64_t queries, keys;

  explicit AllKeys(const AttentionArgs& args)
      : bias(args.bias),
        masked(static_cast<const int32_t*>(args.key_mask.data)),
        queries(args.q.shape[1]),
        keys(args.k.shape[1]) {}

  GESSO_BOTH int64_t count(int64_t) const { return keys; }
  GESSO_BOTH int64_t At(int64_t, int64_t j) const { return j; }
  GESSO_BOTH bool Takes(int64_t b, int64_t j) const {
    return masked == nullptr || masked[b * keys + j] != 0;
  }
  GESSO_BOTH float Bias(int64_t h, int64_t query, int64_t j) const {
    return bias.GetOr((h * queries + query) * keys + j, 0);
  }
};

// The kernel_size x kernel_size neighborhood of a token on a grid, moved inwards at the border.
struct NeighborKeys {
  int64_t height, width, kernel_size;

  explicit NeighborKeys(const NeighborhoodAttentionArgs& args)
      : height(args.q.shape[1]), width(args.q.shape[2]), kernel_size(args.kernel_size) {}

  GESSO_BOTH int64_t First(int64_t at, int64_t size) const {
    const int64_t first = at - kernel_size / 2;
    return first < 0 ? 0 : first > size - kernel_size ? size - kernel_size : first;
  }
  GESSO_BOTH int64_t count(int64_t) const { return kernel_size * kernel_size; }
  GESSO_BOTH int64_t At(int64_t query, int64_t j) const {
    const int64_t y = First(query / width, height) + j / kernel_size;
    return y * width + First(query % width, width) + j % kernel_size;
  }
  GESSO_BOTH bool Takes(int64_t, int64_t) const { return true; }
  GESSO_BOTH float Bias(int64_t, int64_t, int64_t) const { return 0; }
};

// The window of a token: tokens whose (position + shift) / window agree, cut at the border.
struct WindowKeys {
  int64_t height, width, window, shift;

  explicit WindowKeys(const WindowAttentionArgs& args)
      : height(args.q.shape[1]), width(args.q.shape[2]), window(args.window), shift(args.shift) {}

  GESSO_BOTH int64_t Begin(int64_t at) const {
    const int64_t begin = (at + shift) / window * window - shift;
    return begin < 0 ? 0 : begin;
  }
  GESSO_BOTH int64_t End(int64_t at, int64_t size) const {
    const int64_t end = (at + shift) / window * window - shift + window;
    return end > size ? size : end;
  }
  GESSO_BOTH int64_t Columns(int64_t query) const {
    return End(query % width, width) - Begin(query % width);
  }
  GESSO_BOTH int64_t count(int64_t query) const {
    return (End(query / width, height) - Begin(query / width)) * Columns(query);
  }
  GESSO_BOTH int64_t At(int64_t query, int64_t j) const {
    const int64_t columns = Columns(query);
    const int64_t y = Begin(query / width) + j / columns;
    return y * width + Begin(query % width) + j % columns;
  }
  GESSO_BOTH bool Takes(int64_t, int64_t) const { return true; }
  GESSO_BOTH float Bias(int64_t, int64_t, int64_t) const { return 0; }
};

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
    return dot * scale + keys.Bias(h, query, j);
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
