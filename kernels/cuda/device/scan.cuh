// State-space scans: the recurrence of one channel, its states shared out among lanes; and the
// causal convolution before them. Gu & Dao 2023, "Mamba"; Dao & Gu 2024, "Transformers are SSMs".
#pragma once

#include "kernels/causal_conv.h"
#include "kernels/cuda/device/heads.cuh"
#include "kernels/scan.h"

namespace gesso::cuda {

// [B, L, ...] with contiguous rows.
struct TokenNumbers {
  Numbers values;
  int64_t picture = 0, token = 0, group = 0;  // strides

  TokenNumbers() = default;
  explicit TokenNumbers(ConstView view)
      : values(view),
        picture(view.strides[0]),
        token(view.strides[1]),
        group(view.shape.rank() == 4 ? view.strides[2] : 0) {}
  GESSO_BOTH float At(int64_t b, int64_t t, int64_t g, int64_t i) const {
    return values.Get(b * picture + t * token + g * group + i);
  }
};

// Of numbers shared out among lanes the one that lane `lanes` keeps as its i-th.
template <class Lanes>
GESSO_BOTH int64_t ShareOf(const Lanes& lanes, int i) {
  return lanes.index() + static_cast<int64_t>(i) * lanes.count();
}

// The states [N] of one row, shared out among lanes; zeros without an initial state.
template <class Lanes, int kShare>
GESSO_BOTH void LoadStates(const Numbers& initial, int64_t row, int64_t states, const Lanes& lanes,
                           float (&h)[kShare]) {
  for (int i = 0; i < kShare; ++i) {
    const int64_t n = ShareOf(lanes, i);
    h[i] = n < states ? initial.GetOr(row * states + n, 0) : 0;
  }
}

template <class Lanes, int kShare>
GESSO_BOTH void StoreStates(const float (&h)[kShare], int64_t row, int64_t states,
                            const Lanes& lanes, const Numbers& final) {
  if (final.absent()) return;
  for (int i = 0; i < kShare; ++i) {
    const int64_t n = ShareOf(lanes, i);
    if (n < states) final.Set(row * states + n, h[i]);
  }
}

// One channel of one picture in one direction; row = b * D + d. kShare: states a lane keeps, at
// least ceil(N / lanes).
template <int kShare>
struct SelectiveScanRow {
  TokenNumbers u, delta, b, c, z, out;
  Numbers a, d, delta_bias, initial_state, final_state;
  int64_t length, channels, states, groups;
  bool softplus, backward;
  bool adds;   // to what the other direction has left in out
  bool gates;  // the last direction multiplies by silu(z)

  SelectiveScanRow(const SelectiveScanArgs& args, bool runs_backward)
      : out(args.out), softplus(args.delta_softplus), backward(runs_backward) {
    const ScanDirection& in = backward ? args.backward : args.forward;
    u = TokenNumbers(in.u);
    delta = TokenNumbers(in.delta);
    b = TokenNumbers(in.b);
    c = TokenNumbers(in.c);
    a = Numbers(in.a);
    d = Numbers(in.d);
    delta_bias = Numbers(in.delta_bias);
    initial_state = Numbers(in.initial_state);
    final_state = Numbers(in.final_state);
    length = in.u.shape[1];
    channels = in.u.shape[2];
    states = in.a.shape[1];
    groups = in.b.shape[2];
    adds = backward && !args.forward.u.empty();
    gates = !args.z.empty() && (backward || args.backward.u.empty());
    if (gates) z = TokenNumbers(args.z);
  }

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t picture = row / channels;
    const int64_t channel = row % channels;
    const int64_t group = channel / (channels / groups);
    float h[kShare];
    float decay[kShare];
    LoadStates(initial_state, row, states, lanes, h);
    LoadStates(a, channel, states, lanes, decay);
    for (int64_t step = 0; step < length; ++step) {
      const int64_t t = backward ? length - 1 - step : step;
      const float input = u.At(picture, t, 0, channel);
      float dt = delta.At(picture, t, 0, channel) + delta_bias.GetOr(channel, 0);
      if (softplus) dt = Softplus(dt);
      float sum = 0;
      for (int i = 0; i < kShare; ++i) {
        const int64_t n = ShareOf(lanes, i);
        if (n >= states) break;
        h[i] = expf(dt * decay[i]) * h[i] + dt * input * b.At(picture, t, group, n);
        sum += h[i] * c.At(picture, t, group, n);
      }
      sum = lanes.Sum(sum) + d.GetOr(channel, 0) * input;
      if (lanes.index() == 0) Finish(picture, t, channel, sum);
    }
    StoreStates(h, row, states, lanes, final_state);
  }

  GESSO_BOTH void Finish(int64_t picture, int64_t t, int64_t channel, float y) const {
    const int64_t at = picture * out.picture + t * out.token + channel;
    if (adds) y += out.values.Get(at);
    if (gates) y *= Activated(Activation::kSilu, z.At(picture, t, 0, channel));
    out.values.Set(at, y);
  }
};

// One channel of a head of Mamba-2; row = (b * H + head) * P + p.
template <int kShare>
struct SsdRow {
  Numbers x, out;  // x [B, L, H, P] by x_strides, out contiguous
  HeadStrides x_strides;
  TokenNumbers dt, b, c;
  Numbers a, d, dt_bias, initial_state, final_state;
  int64_t length, heads, head_dim, states, groups;
  bool softplus;
  bool skip_each;  // d is [H, P], not [H]

  explicit SsdRow(const SsdArgs& args)
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
        length(args.x.shape[1]),
        heads(args.x.shape[2]),
        head_dim(args.x.shape[3]),
        states(args.b.shape[3]),
        groups(args.b.shape[2]),
        softplus(args.dt_softplus),
        skip_each(args.d.shape.rank() == 2) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t p = row % head_dim;
    const int64_t head = row / head_dim % heads;
    const int64_t picture = row / head_dim / heads;
    const int64_t group = head / (heads / groups);
    const float skip = d.GetOr(skip_each ? head * head_dim + p : head, 0);
    float h[kShare];
    LoadStates(initial_state, row, states, lanes, h);
    for (int64_t t = 0; t < length; ++t) {
      const float input = x.Get(x_strides.At(picture, t, head) + p);
      float step = dt.At(picture, t, 0, head) + dt_bias.GetOr(head, 0);
      if (softplus) step = Softplus(step);
      const float decay = expf(step * a.GetOr(head, 1));
      const float added = a.absent() ? input : step * input;
      float sum = 0;
      for (int i = 0; i < kShare; ++i) {
        const int64_t n = ShareOf(lanes, i);
        if (n >= states) break;
        h[i] = decay * h[i] + added * b.At(picture, t, group, n);
        sum += h[i] * c.At(picture, t, group, n);
      }
      sum = lanes.Sum(sum) + skip * input;
      if (lanes.index() == 0) {
        out.Set(((picture * length + t) * heads + head) * head_dim + p, sum);
      }
    }
    StoreStates(h, row, states, lanes, final_state);
  }
};

// One output of the causal convolution; i counts [B, L, D].
struct CausalConvElement {
  TokenNumbers x;
  Numbers weight, bias, initial_state, out;
  int64_t length, channels, taps, kept;  // kept: tokens of the initial state
  Activation activation;
  bool reverse;

  explicit CausalConvElement(const CausalConv1dArgs& args)
      : x(args.x),
        weight(args.weight),
        bias(args.bias),
        initial_state(args.initial_state),
        out(args.out),
        length(args.x.shape[1]),
        channels(args.x.shape[2]),
        taps(args.weight.shape[1]),
        kept(args.initial_state.empty() ? 0 : args.initial_state.shape[2]),
        activation(args.activation),
        reverse(args.reverse) {}

  // Token `t` of the order in which the sequence is read; negative: of what went before.
  GESSO_BOTH float Sample(int64_t b, int64_t t, int64_t d) const {
    if (t < 0) return initial_state.GetOr((b * channels + d) * kept + kept + t, 0);
    return x.At(b, reverse ? length - 1 - t : t, 0, d);
  }

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t d = i % channels;
    const int64_t row = i / channels % length;
    const int64_t b = i / channels / length;
    const int64_t t = reverse ? length - 1 - row : row;
    float sum = bias.GetOr(d, 0);
    for (int64_t k = 0; k < taps; ++k) {
      sum += weight.Get(d * taps + k) * Sample(b, t - (taps - 1) + k, d);
    }
    out.Set(i, Activated(activation, sum));
  }
};

// What the convolution hands on; one channel of one picture, whose samples shift by `length`.
struct CausalConvState {
  CausalConvElement conv;
  Numbers final_state;
  int64_t kept;

  explicit CausalConvState(const CausalConv1dArgs& args)
      : conv(args), final_state(args.final_state), kept(args.final_state.shape[2]) {}

  GESSO_BOTH void operator()(int64_t channel) const {
    for (int64_t i = 0; i < kept; ++i) {  // ascending: reads lie ahead of what is written
      const float sample =
          conv.Sample(channel / conv.channels, conv.length - kept + i, channel % conv.channels);
      final_state.Set(channel * kept + i, sample);
    }
  }
};

}  // namespace gesso::cuda
