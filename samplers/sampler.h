// The contract of a sampler: a pure function of (context, denoiser, x, sigmas, options, noise,
// observer) that moves x from noise level sigmas[0] to the last one.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "samplers/denoiser.h"
#include "samplers/noise.h"

namespace gesso {

// What an observer sees of a step: after the step's first model call, before x moves on.
struct SamplerStep {
  int64_t index;       // 0, 1, ...
  int64_t count;       // steps in all; 0 where the sampler finds out as it goes (dpm_adaptive)
  double progress;     // share of the run that lies behind, 0 .. 1
  double sigma;        // noise level of x
  ConstView x;         // [B, C, H, W] f32
  ConstView denoised;  // [B, C, H, W] f32, the estimate of the clean picture: previews
};

// Called once a step. It cancels the run by throwing Error(kCancelled).
using Observer = std::function<void(const SamplerStep&)>;

struct SamplerRun {
  Denoiser& denoiser;
  View x;  // [B, C, H, W] f32 contiguous: in, clean + sigmas[0] * noise; out, the picture
  std::span<const double> sigmas;  // n + 1 levels for n steps; see CheckSigmas
  const NoiseSource& noise;
  Observer observer = nullptr;  // optional; not called on the meta device
};

// A sampler with its options bound. State lives in the arena and is given back at the end, also
// when an Error passes through. Throws kUsage for a malformed schedule.
using Sampler = std::function<void(Context&, const SamplerRun&)>;

// Throws kUsage unless there are two levels or more, strictly decreasing, positive, and small
// enough for noise of that level to be f32; the last may be 0, and then nothing of the noise
// remains.
void CheckSigmas(std::span<const double> sigmas);

}  // namespace gesso
