// The contract of every sampler: a denoiser D(x, sigma) that estimates the clean picture.
// Parameterisations (Karras, eps, v, flow) and guidance are wrappers Denoiser -> Denoiser.
#pragma once

#include "kernels/core/context.h"

namespace gesso {

class Denoiser {
 public:
  virtual ~Denoiser() = default;

  // x [B, C, H, W] f32 = clean + sigma * noise; sigma > 0, the same for all pictures.
  // Writes the estimate of the clean picture to denoised [B, C, H, W] f32 (never x itself).
  virtual void Denoise(Context& ctx, ConstView x, double sigma, View denoised) = 0;
};

}  // namespace gesso
