// A task scans one head of one picture from end to end. The head's decay is common to its whole
// state, so the state is kept divided by the decay since some earlier token, h' = h / decay: a step
// then only adds x b / decay, and y = decay (h' c), two multiply-adds a state. Where the decay
// leaves a safe range, the state is multiplied by it and the count begins anew.
#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/cpu/flush_denormals.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scan.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/ssd.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int64_t kTokens = 64;                              // of a chunk
constexpr int64_t kStates = HWY_TARGET == HWY_AVX3 ? 8 : 4;  // times two vectors: in registers
constexpr float kLowest = 0x1p-30f;  // of the decay that the state is divided by
constexpr float kHighest = 0x1p+30f;

// What a head's tokens have in common, [kTokens] each; b and c are [kTokens, padded].
struct Steps {
  float* dt;
  float* decay;    // since the state was last made whole
  float* into;     // factor of x on its way into the state
  float* restart;  // what the state is multiplied by before it takes the token in; 1: nothing
  float* b;
  float* c;
  int64_t padded;
};

// Fills `steps` for the next tokens; dt holds dt + dt_bias.
HWY_INLINE void MakeSteps(const SsdArgs& args, int64_t head, int64_t tokens, const Steps& steps) {
  const F32 d;
  const int64_t lanes = LanesF();
  const auto a = hn::Set(d, args.a.empty() ? 1.0f : args.a.Data<float>()[head]);
  for (int64_t t = 0; t < tokens; t += lanes) {
    auto dt = Load(steps.dt + t);
    if (args.dt_softplus) dt = Softplus(dt);
    Store(dt, steps.dt + t);
    Store(Exp2(hn::Mul(hn::Mul(dt, a), hn::Set(d, 1.44269504f))), steps.decay + t);
  }
  float decay = 1;
  for (int64_t t = 0; t < tokens; ++t) {
    const float next = decay * steps.decay[t];
    const bool safe = next >= kLowest && next <= kHighest;
    steps.restart[t] = safe ? 1 : next;
    decay = safe ? next : 1;
    steps.decay[t] = decay;
    steps.into[t] = (args.a.empty() ? 1 : steps.dt[t]) / decay;
  }
}

// kStates states of two vectors of channels pass over the chunk. x, y: [kTokens, 2 lanes], state:
// [kStates, 2 lanes].
template <int64_t kCount>
HWY_INLINE void Advance(const Steps& steps, int64_t first_state, int64_t tokens, const float* x,
                        float* y, float* state) {
  const F32 d;
  const int64_t lanes = LanesF();
  VecF low[kCount];
  VecF high[kCount];
  GESSO_UNROLL for (int64_t n = 0; n < kCount; ++n) {
    low[n] = Load(state + 2 * n * lanes);
    high[n] = Load(state + (2 * n + 1) * lanes);
  }
  const float* b = steps.b + first_state;
  const float* c = steps.c + first_state;
  for (int64_t t = 0; t < tokens; ++t, b += steps.padded, c += steps.padded) {
    if (steps.restart[t] != 1) {
      const auto factor = hn::Set(d, steps.restart[t]);
      GESSO_UNROLL for (int64_t n = 0; n < kCount; ++n) {
        low[n] = hn::Mul(low[n], factor);
        high[n] = hn::Mul(high[n], factor);
      }
    }
    const auto x_low = Load(x + 2 * t * lanes);
    const auto x_high = Load(x + (2 * t + 1) * lanes);
    auto y_low = Load(y + 2 * t * lanes);
    auto y_high = Load(y + (2 * t + 1) * lanes);
    GESSO_UNROLL for (int64_t n = 0; n < kCount; ++n) {
      const auto in = hn::Set(d, b[n]);
      const auto out = hn::Set(d, c[n]);
      low[n] = hn::MulAdd(x_low, in, low[n]);
      high[n] = hn::MulAdd(x_high, in, high[n]);
      y_low = hn::MulAdd(low[n], out, y_low);
      y_high = hn::MulAdd(high[n], out, y_high);
    }
    Store(y_low, y + 2 * t * lanes);
    Store(y_high, y + (2 * t + 1) * lanes);
  }
  // The chunk's end makes the state whole.
  const auto decay = hn::Set(d, steps.decay[tokens - 1]);
  GESSO_UNROLL for (int64_t n = 0; n < kCount; ++n) {
    Store(hn::Mul(low[n], decay), state + 2 * n * lanes);
    Store(hn::Mul(high[n], decay), state + (2 * n + 1) * lanes);
  }
}

// The channels of a head from `channel` on, two vectors of them.
template <class Out>
HWY_INLINE void ScanPair(const Steps& steps, const Rows& rows, int64_t t0, int64_t tokens,
                         int64_t channel, int64_t left, const float* skip, float* x, float* y,
                         float* state, Out* out, int64_t stride) {
  const F32 d;
  const int64_t lanes = LanesF();
  for (int64_t t = 0; t < tokens; ++t) {
    const auto into = hn::Set(d, steps.into[t]);
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t i = half * lanes;
      rows.Prefetch(t0 + kTokens + t, channel + i);  // for the next chunk
      __builtin_prefetch(out + (t0 + t) * stride + channel + i, 1, 2);
      const auto value = i < left ? rows.At(t0 + t, channel + i, left - i) : hn::Zero(d);
      Store(hn::Mul(value, into), x + 2 * t * lanes + i);
      Store(hn::Zero(d), y + 2 * t * lanes + i);
    }
  }
  int64_t n = 0;
  for (; n + kStates <= steps.padded; n += kStates) {
    Advance<kStates>(steps, n, tokens, x, y, state + 2 * n * lanes);
  }
  if (n < steps.padded) Advance<4>(steps, n, tokens, x, y, state + 2 * n * lanes);
  for (int64_t t = 0; t < tokens; ++t) {
    const auto decay = hn::Set(d, steps.decay[t]);
    for (int64_t i = 0; i < std::min(left, 2 * lanes); i += lanes) {
      const auto input = rows.At(t0 + t, channel + i, left - i);
      const auto sum =
          hn::MulAdd(Load(y + 2 * t * lanes + i), decay, hn::Mul(input, Load(skip + channel + i)));
      Out* to = out + (t0 + t) * stride + channel + i;
      left - i >= lanes ? Store(sum, to) : StorePart(sum, to, left - i);
    }
  }
}

// d of every channel of a head, zeros where there is none.
void SkipOf(const SsdArgs& args, int64_t head, int64_t padded, float* skip) {
  const int64_t channels = args.x.shape[3];
  std::fill_n(skip, padded, 0.0f);
  if (args.d.empty()) return;
  const float* d = args.d.Data<float>();
  if (args.d.shape.rank() == 2) {
    std::copy_n(d + head * channels, channels, skip);
  } else {
    std::fill_n(skip, channels, d[head]);
  }
}

template <class Out>
void ScanHead(const SsdArgs& args, int64_t b, int64_t head) {
  const Shape& s = args.x.shape;
  const int64_t lanes = LanesF();
  const int64_t pair = 2 * lanes;
  const int64_t channels = s[3];
  const int64_t wide = (channels + pair - 1) / pair * pair;
  const int64_t states = args.b.shape[3];
  const int64_t padded = (states + 3) / 4 * 4;
  const int64_t buffered = (padded + lanes - 1) / lanes * lanes;
  cpu::Scratch scratch(4 * kTokens + 2 * kTokens * padded + 2 * kTokens * pair + wide * padded +
                       wide + lanes * buffered);
  const Steps steps = {.dt = scratch.Take(kTokens),
                       .decay = scratch.Take(kTokens),
                       .into = scratch.Take(kTokens),
                       .restart = scratch.Take(kTokens),
                       .b = scratch.Take(kTokens * padded),
                       .c = scratch.Take(kTokens * padded),
                       .padded = padded};
  float* const x = scratch.Take(kTokens * pair);
  float* const y = scratch.Take(kTokens * pair);
  float* const state = scratch.Take(wide * padded);  // [pairs, padded, 2 lanes]
  float* const skip = scratch.Take(wide);
  float* const buffer = scratch.Take(lanes * buffered);
  std::fill_n(steps.b, kTokens * padded, 0.0f);
  std::fill_n(steps.c, kTokens * padded, 0.0f);
  std::fill_n(steps.dt, kTokens, 0.0f);
  SkipOf(args, head, wide, skip);
  const cpu::FlushDenormals flush;

  const int64_t row = (b * s[2] + head) * channels;
  const auto place = [&](int64_t c) { return state + c / pair * pair * padded + c % pair; };
  for (int64_t c = 0; c < wide; c += lanes) {
    const bool zeros = args.initial_state.empty() || c >= channels;
    const float* from = zeros ? nullptr : args.initial_state.Data<float>() + (row + c) * states;
    StatesToLanes(from, channels - c, states, 1, padded, buffer, place(c), pair);
  }
  const int64_t group = head / (s[2] / args.b.shape[2]);
  const Rows rows(args.x, b, head * args.x.strides[2], false);
  const Rows rows_b(args.b, b, group * args.b.strides[2], false);
  const Rows rows_c(args.c, b, group * args.c.strides[2], false);
  const Rows rows_dt(args.dt, b, head, false);
  const float bias = args.dt_bias.empty() ? 0 : args.dt_bias.Data<float>()[head];
  Out* const out = args.out.Data<Out>() + (b * s[1] * s[2] + head) * channels;
  for (int64_t t = 0; t < s[1]; t += kTokens) {
    const int64_t tokens = std::min(kTokens, s[1] - t);
    rows_b.Read(t, tokens, states, padded, steps.b);
    rows_c.Read(t, tokens, states, padded, steps.c);
    for (int64_t i = 0; i < tokens; ++i) {
      steps.dt[i] = hn::GetLane(rows_dt.At(t + i, 0, 1)) + bias;
    }
    MakeSteps(args, head, tokens, steps);
    for (int64_t c = 0; c < channels; c += pair) {
      ScanPair(steps, rows, t, tokens, c, channels - c, skip, x, y, place(c), out, s[2] * channels);
    }
  }
  if (args.final_state.empty()) return;
  float* const last = args.final_state.Data<float>() + row * states;
  for (int64_t c = 0; c < channels; c += lanes) {
    LanesToStates(place(c), pair, channels - c, states, last + c * states);
  }
}

void SsdTask(const SsdArgs& args, int64_t b, int64_t head) {
  args.out.dtype == DType::kBF16 ? ScanHead<BFloat16>(args, b, head)
                                 : ScanHead<float>(args, b, head);
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(SsdTask);

void Ssd(Context&, const SsdArgs& args) {
  const int64_t heads = args.x.shape[2];
  ParallelFor(args.x.shape[0] * heads, [&](int64_t task) {
    HWY_DYNAMIC_DISPATCH(SsdTask)(args, task / heads, task % heads);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
