#include "kernels/cpu/causal_conv.h"

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/causal_conv.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int64_t kChannels = 64;  // of a task: 256 bytes of each row of float32
constexpr int64_t kTokens = 64;    // whose rows of kChannels stay in the L1 cache

// Working memory of a task: rows of kChannels floats.
struct Taps {
  int64_t count;
  float* weight;  // [count] rows
  float* bias;    // 1 row
};

// tokens x channels outputs; the oldest tap of the first output lies at `x`.
template <int kTaps, bool kSilu, class In, class Out>
HWY_INLINE void Convolve(const In* x, int64_t stride, const Taps& taps, int64_t tokens,
                         int64_t channels, Out* out, int64_t out_stride) {
  const int64_t lanes = LanesF();
  const int64_t count = kTaps > 0 ? kTaps : taps.count;
  for (int64_t c = 0; c < channels; c += lanes) {
    const int64_t left = channels - c;
    const auto bias = Load(taps.bias + c);
    for (int64_t t = 0; t < tokens; ++t) {
      auto sum = bias;
      const In* from = x + t * stride + c;
      GESSO_UNROLL for (int64_t k = 0; k < count; ++k) {
        const auto sample =
            left >= lanes ? Load(from + k * stride) : LoadPart(from + k * stride, left);
        sum = hn::MulAdd(sample, Load(taps.weight + k * kChannels + c), sum);
      }
      if constexpr (kSilu) sum = FastSilu(sum);
      Out* to = out + t * out_stride + c;
      left >= lanes ? Store(sum, to) : StorePart(sum, to, left);
    }
  }
}

// The usual numbers of taps are unrolled.
template <bool kSilu, class In, class Out>
HWY_INLINE void ConvolveAny(const In* x, int64_t stride, const Taps& taps, int64_t tokens,
                            int64_t channels, Out* out, int64_t out_stride) {
  switch (taps.count) {
    case 3:
      return Convolve<3, kSilu>(x, stride, taps, tokens, channels, out, out_stride);
    case 4:
      return Convolve<4, kSilu>(x, stride, taps, tokens, channels, out, out_stride);
    default:
      return Convolve<0, kSilu>(x, stride, taps, tokens, channels, out, out_stride);
  }
}

// Channels first .. first + channels - 1 of picture b, in the order of the sequence.
template <bool kSilu, class In, class Out>
void ConvolveChannels(const CausalConv1dArgs& args, int64_t b, int64_t first, int64_t channels) {
  const int64_t length = args.x.shape[1];
  const int64_t width = args.x.shape[2];
  const int64_t taps = args.weight.shape[1];
  const int64_t before = taps - 1;
  const int64_t start = std::min(before, length);  // outputs that reach back before the sequence
  cpu::Scratch scratch((taps + 1 + before + start) * kChannels);
  const Taps weights = {taps, scratch.Take(taps * kChannels), scratch.Take(kChannels)};
  float* head = scratch.Take((before + start) * kChannels);  // what came before, the first tokens
  std::fill_n(head, (before + start) * kChannels, 0.0f);
  std::fill_n(weights.bias, kChannels, 0.0f);
  std::fill_n(weights.weight, taps * kChannels, 0.0f);

  const int64_t stride = args.reverse ? -args.x.strides[1] : args.x.strides[1];
  const int64_t out_stride = args.reverse ? -width : width;
  const int64_t origin = args.reverse ? length - 1 : 0;
  const In* x = args.x.Data<In>() + b * args.x.strides[0] + origin * args.x.strides[1] + first;
  Out* out = args.out.Data<Out>() + (b * length + origin) * width + first;
  const float* initial = nullptr;
  int64_t kept = 0;
  if (!args.initial_state.empty()) {
    kept = args.initial_state.shape[2];
    initial = args.initial_state.Data<float>() + (b * width + first) * kept;
  }
  for (int64_t c = 0; c < channels; ++c) {
    const float* weight = args.weight.Data<float>() + (first + c) * taps;
    for (int64_t k = 0; k < taps; ++k) weights.weight[k * kChannels + c] = weight[k];
    if (!args.bias.empty()) weights.bias[c] = args.bias.Data<float>()[first + c];
    for (int64_t i = 0; initial != nullptr && i < before; ++i) {
      head[i * kChannels + c] = initial[c * kept + kept - before + i];
    }
    for (int64_t i = 0; i < start; ++i) {
      head[(before + i) * kChannels + c] = static_cast<float>(x[i * stride + c]);
    }
  }
  ConvolveAny<kSilu>(head, kChannels, weights, start, channels, out, out_stride);
  for (int64_t t = start; t < length; t += kTokens) {
    const int64_t tokens = std::min(kTokens, length - t);
    ConvolveAny<kSilu>(x + (t - before) * stride, stride, weights, tokens, channels,
                       out + t * out_stride, out_stride);
  }
  if (args.final_state.empty()) return;
  // In this order a state may be read and written in the same place.
  kept = args.final_state.shape[2];
  float* last = args.final_state.Data<float>() + (b * width + first) * kept;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < kept; ++i) {
      const int64_t t = length - kept + i;
      const float earlier = initial == nullptr || t >= 0 ? 0.0f : initial[c * kept + kept + t];
      last[c * kept + i] = t >= 0 ? static_cast<float>(x[t * stride + c]) : earlier;
    }
  }
}

void CausalConv1dTask(const CausalConv1dArgs& args, int64_t b, int64_t first, int64_t channels) {
  cpu::WithTypes(args.x.dtype, args.out.dtype, [&](auto in, auto to) {
    using In = decltype(in);
    using Out = decltype(to);
    args.activation == Activation::kSilu
        ? ConvolveChannels<true, In, Out>(args, b, first, channels)
        : ConvolveChannels<false, In, Out>(args, b, first, channels);
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(CausalConv1dTask);

void CausalConv1d(Context&, const CausalConv1dArgs& args) {
  const int64_t width = args.x.shape[2];
  const int64_t blocks = (width + 63) / 64;
  ParallelFor(args.x.shape[0] * blocks, [&](int64_t task) {
    const int64_t first = task % blocks * 64;
    const int64_t channels = std::min<int64_t>(64, width - first);
    HWY_DYNAMIC_DISPATCH(CausalConv1dTask)(args, task / blocks, first, channels);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
