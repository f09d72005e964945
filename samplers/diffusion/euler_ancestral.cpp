// Euler steps that go below the next noise level and come back up with fresh noise.
// Paper: Song et al. 2021, "Denoising diffusion implicit models", section 4.1 (eta), in sigma.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_euler_ancestral.
#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleEulerAncestral(Context& ctx, const SamplerRun& run, const AncestralOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const View denoised = Buffer(ctx, run);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    const AncestralStep step = SplitAncestral(sigma, next, options.eta);
    const double amount = step.up * options.s_noise;
    const double keep = step.down / sigma;
    Combine(ctx, run.x, {{keep, run.x}, {1 - keep, denoised}},
            NoiseOf(run, i, sigma, next, amount));
  }
}

}  // namespace gesso
