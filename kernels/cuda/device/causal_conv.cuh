// The causal convolution before the scans of state-space models.
#pragma once

#include "kernels/causal_conv.h"
#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/token_numbers.cuh"
#include "kernels/cuda/device/vectors.cuh"

namespace gesso::cuda {

// One output of the causal convolution; i counts [B, L, D].
struct CausalConvElement {
  TokenNumbers x;
  Numbers weight, bias, initial_state, out;
  Divisor length, channels;
  int64_t taps, kept;  // kept: tokens of the initial state
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
    const int64_t token = i / channels;
    const int64_t d = i - token * channels;
    const int64_t b = token / length;
    const int64_t row = token - b * length;
    const int64_t t = reverse ? length - 1 - row : row;
    float sum = bias.GetOr(d, 0);
    for (int64_t k = 0; k < taps; ++k) {
      sum += weight.Get(d * taps + k) * Sample(b, t - (taps - 1) + k, d);
    }
    out.Set(i, Activated(activation, sum));
  }
};

// kChannels channels of kTokens tokens that follow one another, with the kTaps taps that models
// have: every number and every weight is read once a thread, and all of them together. i counts
// runs of tokens, vectors of channels first.
struct CausalConvVectors {
  static constexpr int kTaps = 4;
  static constexpr int kTokens = 4;
  static constexpr int kChannels = 4;  // of twice as many too much would be held at once
  CausalConvElement conv;
  Divisor runs, vectors;  // of a picture; of a token

  explicit CausalConvVectors(const CausalConv1dArgs& args)
      : conv(args),
        runs((args.x.shape[1] + kTokens - 1) / kTokens),
        vectors(args.x.shape[2] / kChannels) {}

  bool TakesVectors() const {
    return conv.taps == kTaps && conv.channels % kVector == 0 && HasVectors(conv.weight) &&
           HasVectors(conv.bias) && HasVectors(conv.out) &&
           HasVectors(conv.x.values, conv.x.picture) && conv.x.token % kVector == 0;
  }
  int64_t Count(int64_t pictures) const { return pictures * runs * vectors; }

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t run = i / vectors;
    const int64_t d = (i - run * vectors) * kChannels;
    const int64_t b = run / runs;
    const auto first = static_cast<int>(run - b * runs) * kTokens;  // in reading order
    const auto last = static_cast<int>(conv.length) - 1;
    const int64_t direction = conv.reverse ? -1 : 1;
    const int64_t begin = conv.x.Index(b, conv.reverse ? last : 0, 0, d);
    const int64_t step = direction * conv.x.token;
    Several<kChannels> samples[kTaps - 1 + kTokens];
    GESSO_UNROLL for (int k = 0; k < kTaps - 1 + kTokens; ++k) {
      const int t = first + k - (kTaps - 1);
      const int inside = t < 0 ? 0 : t < last ? t : last;
      samples[k] = GetSeveral<kChannels>(conv.x.values, begin + inside * step);
    }
    Several<kTaps> weights[kChannels];
    GESSO_UNROLL for (int k = 0; k < kChannels; ++k) {
      weights[k] = GetSeveral<kTaps>(static_cast<const float*>(conv.weight.data), (d + k) * kTaps);
    }
    const auto bias = GetSeveralOr<kChannels>(conv.bias, d, 0);
    if (first == 0) {
      GESSO_UNROLL for (int k = 0; k < (kTaps - 1) * kChannels; ++k) {
        const int before = k / kChannels;
        samples[before].at[k % kChannels] = conv.Sample(b, before - (kTaps - 1), d + k % kChannels);
      }
    }
    int64_t to = (b * conv.length + (conv.reverse ? last - first : first)) * conv.channels + d;
    GESSO_UNROLL for (int token = 0; token < kTokens; ++token) {
      if (first + token > last) return;
      auto sum = bias;
      GESSO_UNROLL for (int tap = 0; tap < kTaps; ++tap) {
        GESSO_UNROLL for (int k = 0; k < kChannels; ++k) {
          sum.at[k] += weights[k].at[tap] * samples[token + tap].at[k];
        }
      }
      ActivateAll(conv.activation, sum);
      SetSeveral(conv.out, to, sum);
      to += direction * conv.channels;
    }
  }
};

// Calls launch(count, body) for all outputs: in vectors where that is possible.
template <class Launch>
void ConvolveCausally(const CausalConv1dArgs& args, const Launch& launch) {
  const CausalConvVectors body(args);
  if (body.TakesVectors()) return launch(body.Count(args.x.shape[0]), body);
  launch(args.out.numel(), body.conv);
}

// What the convolution hands on; one channel of one picture, whose samples shift by `length`.
struct CausalConvState {
  CausalConvElement conv;
  Numbers final_state;
  int64_t kept;

  explicit CausalConvState(const CausalConv1dArgs& args)
      : conv(args), final_state(args.final_state), kept(args.final_state.shape[2]) {}

  GESSO_BOTH void operator()(int64_t channel) const {
    const int64_t b = channel / conv.channels;
    const int64_t d = channel - b * conv.channels;
    for (int64_t i = 0; i < kept; ++i) {  // ascending: reads lie ahead of what is written
      final_state.Set(channel * kept + i, conv.Sample(b, conv.length - kept + i, d));
    }
  }
};

}  // namespace gesso::cuda
