// The contract of an inpainter: it drives a sampler so that a part of a picture is painted anew to
// fit the rest, which is known.
#pragma once

#include <functional>

#include "samplers/sampler.h"

namespace gesso {

struct InpaintRun {
  const Sampler& sample;
  // x [B, C, H, W] f32: in, known + sigmas[0] * noise in every pixel.
  const SamplerRun& run;
  ConstView known;   // [1, C, H, W] f32 contiguous: the picture before
  ConstView amount;  // [H, W] f32 contiguous, 0 .. 1: how much of a pixel may change
};

// An inpainter with its options bound. State lives in the arena, as a sampler's. Pixels whose
// amount is 0 end as they are known; exactly, where the sampler ends at its last estimate.
using Inpainter = std::function<void(Context&, const InpaintRun&)>;

}  // namespace gesso
