// A task scans some channels of one picture from end to end. A chunk of tokens at a time: dt and
// dt u of a vector of channels go to the L1 cache, then a few states of these channels at a time
// stay in registers while the chunk passes, each adding its part to y.
#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/cpu/flush_denormals.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scan.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/selective_scan.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int64_t kTokens = 64;                              // of a chunk
constexpr int64_t kStates = HWY_TARGET == HWY_AVX3 ? 8 : 4;  // that registers hold
constexpr float kLog2E = 1.44269504f;

// The channels of a task: channels first .. first + channels - 1 of picture b, all of one group.
struct Span {
  int64_t b;
  int64_t first;
  int64_t channels;
  int64_t group;
};

// A chunk's values, a vector of channels wide, and its b and c, `padded` states wide.
struct Chunk {
  float* dt;   // [kTokens, lanes]
  float* dtu;  // [kTokens, lanes]
  float* y;    // [kTokens, lanes]
  float* b;    // [kTokens, padded]
  float* c;    // [kTokens, padded]
  int64_t padded;
};

// One direction within a task.
struct Sweep {
  Rows u, delta, b, c, z;
  const float* skip = nullptr;  // d
  const float* bias = nullptr;
  float* a = nullptr;      // [vectors of channels, padded, lanes]: a log2(e)
  float* state = nullptr;  // [vectors of channels, padded, lanes]
  int64_t states = 0;
  bool backward = false;
};

// Asks for memory that a chunk needs later: while it is computed, arithmetic hides how long that
// takes. Once a token, for the gate and the output of this chunk and the input of the next.
// (Classes and not lambdas, which GCC takes for calls without effect.)
template <class Out>
struct Fetch {
  const Sweep* sweep;
  const Out* out;
  int64_t stride;  // of out
  int64_t t0;
  int64_t tokens;
  int64_t channel;

  HWY_INLINE void operator()(int64_t t) const {
    sweep->u.Prefetch(t0 + tokens + t, channel);
    sweep->delta.Prefetch(t0 + tokens + t, channel);
    if (!sweep->z.empty()) sweep->z.Prefetch(t0 + t, channel);
    __builtin_prefetch(out + (t0 + t) * stride, 1, 2);
  }
};
struct NoFetch {
  HWY_INLINE void operator()(int64_t) const {}
};

// kCount states pass over `tokens` tokens; a, state: [kCount, lanes]. Calls fetch(t) at each.
template <int64_t kCount, class Ahead>
HWY_INLINE void Advance(const Chunk& chunk, int64_t first_state, int64_t tokens, const float* a,
                        float* state, const Ahead& fetch) {
  const F32 d;
  const int64_t lanes = LanesF();
  VecF h[kCount];
  GESSO_UNROLL for (int64_t n = 0; n < kCount; ++n) h[n] = Load(state + n * lanes);
  const float* b = chunk.b + first_state;
  const float* c = chunk.c + first_state;
  for (int64_t t = 0; t < tokens; ++t, b += chunk.padded, c += chunk.padded) {
    fetch(t);
    const auto dt = Load(chunk.dt + t * lanes);
    const auto dtu = Load(chunk.dtu + t * lanes);
    auto y = Load(chunk.y + t * lanes);
    GESSO_UNROLL for (int64_t n = 0; n < kCount; ++n) {
      const auto decay = Exp2(hn::Mul(dt, Load(a + n * lanes)));
      h[n] = hn::MulAdd(decay, h[n], hn::Mul(dtu, hn::Set(d, b[n])));
      y = hn::MulAdd(h[n], hn::Set(d, c[n]), y);
    }
    Store(y, chunk.y + t * lanes);
  }
  GESSO_UNROLL for (int64_t n = 0; n < kCount; ++n) Store(h[n], state + n * lanes);
}

// dt, dt u and y = d u of the channels from `channel` on, of which `left` are the task's.
HWY_INLINE void Prepare(const Sweep& sweep, bool softplus, int64_t t0, int64_t tokens,
                        int64_t channel, int64_t left, const Chunk& chunk) {
  const F32 d;
  const int64_t lanes = LanesF();
  const auto parameter = [&](const float* from) HWY_ATTR {
    if (from == nullptr) return hn::Zero(d);
    return left >= lanes ? Load(from + channel) : LoadPart(from + channel, left);
  };
  const auto bias = parameter(sweep.bias);
  const auto skip = parameter(sweep.skip);
  for (int64_t t = 0; t < tokens; ++t) {
    auto dt = hn::Add(sweep.delta.At(t0 + t, channel, left), bias);
    if (softplus) dt = Softplus(dt);
    const auto u = sweep.u.At(t0 + t, channel, left);
    Store(dt, chunk.dt + t * lanes);
    Store(hn::Mul(dt, u), chunk.dtu + t * lanes);
    Store(hn::Mul(skip, u), chunk.y + t * lanes);
  }
}

// y to `out`, after the other direction's (`adds`) and times the gate (`ends`).
template <class Out>
HWY_INLINE void Finish(const Sweep& sweep, bool adds, bool ends, int64_t t0, int64_t tokens,
                       int64_t channel, int64_t left, const Chunk& chunk, Out* out,
                       int64_t stride) {
  const int64_t lanes = LanesF();
  const bool gated = ends && !sweep.z.empty();
  for (int64_t t = 0; t < tokens; ++t) {
    Out* to = out + (t0 + t) * stride + channel;
    auto y = Load(chunk.y + t * lanes);
    if (adds) y = hn::Add(y, left >= lanes ? Load(to) : LoadPart(to, left));
    if (gated) y = hn::Mul(y, FastSilu(sweep.z.At(t0 + t, channel, left)));
    left >= lanes ? Store(y, to) : StorePart(y, to, left);
  }
}

// The whole sequence, all channels of the task. See Finish for `adds` and `ends`.
template <class Out>
void Scan(const SelectiveScanArgs& args, const Span& span, const Sweep& sweep, const Chunk& chunk,
          bool adds, bool ends) {
  const int64_t lanes = LanesF();
  const int64_t length = args.out.shape[1];
  const int64_t width = args.out.shape[2];
  const int64_t stride = sweep.backward ? -width : width;
  Out* out = args.out.Data<Out>() + span.first +
             (span.b * length + (sweep.backward ? length - 1 : 0)) * width;
  for (int64_t t = 0; t < length; t += kTokens) {
    const int64_t tokens = std::min(kTokens, length - t);
    sweep.b.Read(t, tokens, sweep.states, chunk.padded, chunk.b);
    sweep.c.Read(t, tokens, sweep.states, chunk.padded, chunk.c);
    for (int64_t channel = 0; channel < span.channels; channel += lanes) {
      const int64_t left = span.channels - channel;
      const float* a = sweep.a + channel * chunk.padded;
      float* state = sweep.state + channel * chunk.padded;
      Prepare(sweep, args.delta_softplus, t, tokens, channel, left, chunk);
      const Fetch<Out> fetch = {&sweep, out + channel, stride, t, tokens, channel};
      int64_t n = 0;
      if (kStates <= chunk.padded) {
        Advance<kStates>(chunk, n, tokens, a, state, fetch);
        n += kStates;
      }
      for (; n + kStates <= chunk.padded; n += kStates) {
        Advance<kStates>(chunk, n, tokens, a + n * lanes, state + n * lanes, NoFetch());
      }
      if (n < chunk.padded)
        Advance<4>(chunk, n, tokens, a + n * lanes, state + n * lanes, NoFetch());
      Finish(sweep, adds, ends, t, tokens, channel, left, chunk, out, stride);
    }
  }
}

// Reads the parameters and the state into `a` and `state`.
Sweep MakeSweep(const SelectiveScanArgs& args, const Span& span, bool backward, int64_t padded,
                float* a, float* state, float* buffer) {
  const ScanDirection& in = backward ? args.backward : args.forward;
  const int64_t lanes = LanesF();
  const int64_t states = in.a.shape[1];
  Sweep sweep;
  sweep.u = Rows(in.u, span.b, span.first, backward);
  sweep.delta = Rows(in.delta, span.b, span.first, backward);
  sweep.b = Rows(in.b, span.b, span.group * in.b.strides[2], backward);
  sweep.c = Rows(in.c, span.b, span.group * in.c.strides[2], backward);
  if (!args.z.empty()) sweep.z = Rows(args.z, span.b, span.first, backward);
  if (!in.d.empty()) sweep.skip = in.d.Data<float>() + span.first;
  if (!in.delta_bias.empty()) sweep.bias = in.delta_bias.Data<float>() + span.first;
  sweep.a = a;
  sweep.state = state;
  sweep.states = states;
  sweep.backward = backward;
  const int64_t row = span.b * in.u.shape[2] + span.first;
  for (int64_t channel = 0; channel < span.channels; channel += lanes) {
    const int64_t left = span.channels - channel;
    const float* rates = in.a.Data<float>() + (span.first + channel) * states;
    const float* initial = in.initial_state.empty()
                               ? nullptr
                               : in.initial_state.Data<float>() + (row + channel) * states;
    StatesToLanes(rates, left, states, kLog2E, padded, buffer, a + channel * padded, lanes);
    StatesToLanes(initial, left, states, 1, padded, buffer, state + channel * padded, lanes);
  }
  return sweep;
}

void KeepState(const ScanDirection& in, const Span& span, const Sweep& sweep, int64_t padded) {
  if (in.final_state.empty()) return;
  const int64_t lanes = LanesF();
  float* to = in.final_state.Data<float>() + (span.b * in.u.shape[2] + span.first) * sweep.states;
  for (int64_t channel = 0; channel < span.channels; channel += lanes) {
    LanesToStates(sweep.state + channel * padded, lanes, span.channels - channel, sweep.states,
                  to + channel * sweep.states);
  }
}

// One direction, see Scan.
template <class Out>
void ScanDirectionOf(const SelectiveScanArgs& args, const Span& span, bool backward, bool adds,
                     bool ends) {
  const ScanDirection& in = backward ? args.backward : args.forward;
  const int64_t lanes = LanesF();
  const int64_t padded = (in.a.shape[1] + 3) / 4 * 4;
  const int64_t wide = (padded + lanes - 1) / lanes * lanes;
  const int64_t channels = (span.channels + lanes - 1) / lanes * lanes;
  cpu::Scratch scratch(3 * kTokens * lanes + 2 * kTokens * padded + 2 * channels * padded +
                       lanes * wide);
  const Chunk chunk = {.dt = scratch.Take(kTokens * lanes),
                       .dtu = scratch.Take(kTokens * lanes),
                       .y = scratch.Take(kTokens * lanes),
                       .b = scratch.Take(kTokens * padded),
                       .c = scratch.Take(kTokens * padded),
                       .padded = padded};
  float* const a = scratch.Take(channels * padded);
  float* const state = scratch.Take(channels * padded);
  std::fill_n(chunk.b, kTokens * padded, 0.0f);
  std::fill_n(chunk.c, kTokens * padded, 0.0f);
  const Sweep sweep = MakeSweep(args, span, backward, padded, a, state, scratch.Take(lanes * wide));
  Scan<Out>(args, span, sweep, chunk, adds, ends);
  KeepState(in, span, sweep, padded);
}

template <class Out>
void ScanSpan(const SelectiveScanArgs& args, const Span& span) {
  const cpu::FlushDenormals flush;
  const bool onwards = !args.forward.u.empty();
  const bool backwards = !args.backward.u.empty();
  if (onwards) ScanDirectionOf<Out>(args, span, false, false, !backwards);
  if (backwards) ScanDirectionOf<Out>(args, span, true, onwards, true);
}

void SelectiveScanTask(const SelectiveScanArgs& args, int64_t b, int64_t first, int64_t channels,
                       int64_t group) {
  const Span span = {b, first, channels, group};
  args.out.dtype == DType::kBF16 ? ScanSpan<BFloat16>(args, span) : ScanSpan<float>(args, span);
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(SelectiveScanTask);

void SelectiveScan(Context&, const SelectiveScanArgs& args) {
  constexpr int64_t kChannels = 64;  // of a task: 256 bytes of each row of float32
  const Shape& shape = args.out.shape;
  const ConstView& b = args.forward.u.empty() ? args.backward.b : args.forward.b;
  const int64_t groups = b.shape[2];
  const int64_t width = shape[2] / groups;
  const int64_t blocks = (width + kChannels - 1) / kChannels;
  ParallelFor(shape[0] * groups * blocks, [&](int64_t task) {
    const int64_t group = task / blocks % groups;
    const int64_t first = task % blocks * kChannels;
    HWY_DYNAMIC_DISPATCH(SelectiveScanTask)
    (args, task / blocks / groups, group * width + first, std::min(kChannels, width - first),
     group);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
