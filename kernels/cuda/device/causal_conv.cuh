// The causal convolution before the scans of state-space models.
#pragma once

#include "kernels/causal_conv.h"
#include "kernels/cuda/device/token_numbers.cuh"

namespace gesso::cuda {

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
