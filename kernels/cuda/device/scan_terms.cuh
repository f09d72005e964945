// What scans of state-space models take a token for: how the state decays, what goes into it, and
// what becomes of the result. device/scan.cuh does the rest for both kinds.
#pragma once

#include "kernels/cuda/device/fragments.cuh"
#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/device/softplus.cuh"
#include "kernels/cuda/device/token_numbers.cuh"
#include "kernels/cuda/scan_plan.h"
#include "kernels/scan.h"

namespace gesso::cuda {

// What a thread knows of its tokens of a tile; zeros beyond the last token.
struct ScanTokens {
  float exponent[kScanTokens];  // of 2, the decay; where states have rates, to be multiplied by one
  float input[kScanTokens];     // times b into the state
  float y[kScanTokens];
};

GESSO_BOTH float ToFloat(float value) { return value; }
GESSO_BOTH float ToFloat(uint16_t bf16) { return BitsToFloat(static_cast<uint32_t>(bf16) << 16); }

template <class T>
GESSO_BOTH void ReadTokensAs(const T* from, int64_t stride, int count, float (&to)[kScanTokens]) {
  GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k, from += stride) {
    to[k] = k < count ? ToFloat(*from) : 0;
  }
}

// to[k] = from[at + k * stride] for k < count, else 0. All loads are on their way at once.
GESSO_BOTH void ReadTokens(const Numbers& from, int64_t at, int64_t stride, int count,
                           float (&to)[kScanTokens]) {
  if (from.bf16) {
    ReadTokensAs(static_cast<const uint16_t*>(from.data) + at, stride, count, to);
  } else {
    ReadTokensAs(static_cast<const float*>(from.data) + at, stride, count, to);
  }
}

// to[at + k * stride] = from[k] for k < count.
GESSO_BOTH void WriteTokens(const float (&from)[kScanTokens], int count, const Numbers& to,
                            int64_t at, int64_t stride) {
  GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k, at += stride) {
    if (k < count) to.Set(at, from[k]);
  }
}

// One direction of SelectiveScan.
struct SelectiveTerms {
  static constexpr bool kHasRates = true;  // each state of a channel decays by its own
  static constexpr int kAtOnce = 2;        // states between barriers

  ScanShape shape;
  TokenNumbers u, delta, b, c, z;
  Numbers a, d, delta_bias, initial_state, final_state;
  Numbers before;  // [B, L, D] f32: what the other direction has left; or absent
  Numbers out;     // [B, L, D]
  bool softplus, backward;

  // partial: [B, L, D] f32, where the forward scan leaves its part of both; may be out.
  SelectiveTerms(const SelectiveScanArgs& args, bool runs_backward, const Numbers& partial)
      : out(args.out), softplus(args.delta_softplus), backward(runs_backward) {
    const ScanDirection& in = backward ? args.backward : args.forward;
    shape = {in.u.shape[0], in.u.shape[1], in.u.shape[2], in.a.shape[1], in.b.shape[2]};
    u = TokenNumbers(in.u);
    delta = TokenNumbers(in.delta);
    b = TokenNumbers(in.b);
    c = TokenNumbers(in.c);
    a = Numbers(in.a);
    d = Numbers(in.d);
    delta_bias = Numbers(in.delta_bias);
    initial_state = Numbers(in.initial_state);
    final_state = Numbers(in.final_state);
    const bool both = !args.forward.u.empty() && !args.backward.u.empty();
    if (both && backward) before = partial;
    if (both && !backward) out = partial;
    if (!args.z.empty() && (backward || !both)) z = TokenNumbers(args.z);
  }

  // The token that step i of the scan is at.
  GESSO_BOTH int64_t Token(int64_t i) const { return backward ? shape.length - 1 - i : i; }
  GESSO_BOTH int64_t Next(int64_t stride) const { return backward ? -stride : stride; }
  GESSO_BOTH float Rate(int64_t channel, int64_t n) const {
    return kLog2OfE * a.Get(channel * shape.states + n);
  }

  // Steps first .. first + count - 1.
  GESSO_BOTH void Load(int64_t picture, int64_t channel, int64_t first, int count,
                       ScanTokens& to) const {
    float input[kScanTokens];
    const int64_t t = Token(first);
    ReadTokens(u.values, u.Index(picture, t, 0, channel), Next(u.token), count, input);
    ReadTokens(delta.values, delta.Index(picture, t, 0, channel), Next(delta.token), count,
               to.exponent);
    const float bias = delta_bias.GetOr(channel, 0);
    const float skip = d.GetOr(channel, 0);
    GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
      float dt = to.exponent[k] + bias;
      if (softplus) dt = Softplus(dt);
      to.exponent[k] = k < count ? dt : 0;
      to.input[k] = to.exponent[k] * input[k];
      to.y[k] = skip * input[k];
    }
  }

  GESSO_BOTH void Store(int64_t picture, int64_t channel, int64_t first, int count,
                        const ScanTokens& from) const {
    const int64_t t = Token(first);
    const int64_t at = (picture * shape.length + t) * shape.channels + channel;
    const int64_t next = Next(shape.channels);
    float y[kScanTokens];
    float other[kScanTokens];
    if (!before.absent()) ReadTokens(before, at, next, count, other);
    GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
      y[k] = before.absent() ? from.y[k] : from.y[k] + other[k];
    }
    if (!z.values.absent()) {
      ReadTokens(z.values, z.Index(picture, t, 0, channel), Next(z.token), count, other);
      GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
        y[k] *= Activated(Activation::kSilu, other[k]);
      }
    }
    WriteTokens(y, count, out, at, next);
  }
};

// Ssd; its channels are those of all heads.
struct SsdTerms {
  static constexpr bool kHasRates = false;
  static constexpr int kAtOnce = 4;

  ScanShape shape;
  Numbers x, out;  // x [B, L, H, P] by x_strides, out contiguous
  HeadStrides x_strides;
  TokenNumbers dt, b, c;
  Numbers a, d, dt_bias, initial_state, final_state;
  int head_dim;
  bool softplus;
  bool skip_each;  // d is [H, P], not [H]

  explicit SsdTerms(const SsdArgs& args)
      : x(args.x),
        out(args.out),
        x_strides(args.x),
        dt(args.dt),
        b(args.b),
        c(args.c),
        a(args.a),
        d(args.d),
        dt_bias(args.dt_bias),
        initial_state(args.initial_state),
        final_state(args.final_state),
        head_dim(static_cast<int>(args.x.shape[3])),
        softplus(args.dt_softplus),
        skip_each(args.d.shape.rank() == 2) {
    const Shape& s = args.x.shape;
    shape = {s[0], s[1], s[2] * s[3], args.b.shape[3], args.b.shape[2]};
  }

  GESSO_BOTH int64_t Token(int64_t i) const { return i; }

  GESSO_BOTH void Load(int64_t picture, int64_t channel, int64_t first, int count,
                       ScanTokens& to) const {
    const int head = static_cast<int>(channel) / head_dim;
    const int place = static_cast<int>(channel) % head_dim;
    float input[kScanTokens];
    ReadTokens(x, x_strides.At(picture, first, head) + place, x_strides.token, count, input);
    ReadTokens(dt.values, dt.Index(picture, first, 0, head), dt.token, count, to.exponent);
    const float bias = dt_bias.GetOr(head, 0);
    const float rate = kLog2OfE * a.GetOr(head, 1);
    const float skip = d.GetOr(skip_each ? channel : head, 0);
    GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
      float step = to.exponent[k] + bias;
      if (softplus) step = Softplus(step);
      to.exponent[k] = k < count ? step * rate : 0;
      to.input[k] = a.absent() ? input[k] : step * input[k];
      to.y[k] = skip * input[k];
    }
  }

  GESSO_BOTH void Store(int64_t picture, int64_t channel, int64_t first, int count,
                        const ScanTokens& from) const {
    const int64_t at = (picture * shape.length + first) * shape.channels + channel;
    WriteTokens(from.y, count, out, at, shape.channels);
  }
};

}  // namespace gesso::cuda
