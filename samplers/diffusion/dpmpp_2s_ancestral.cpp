// Ancestral sampling with DPM-Solver++(2S): two model calls a step, second order in log sigma.
// Paper: Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic
// models", algorithm 1.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpmpp_2s_ancestral.
#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleDpmpp2sAncestral(Context& ctx, const SamplerRun& run, const AncestralOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const View denoised = Buffer(ctx, run);
  const View x_2 = Buffer(ctx, run);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    const AncestralStep step = SplitAncestral(sigma, next, options.eta);
    if (step.down > 0) {
      const double middle = GeometricMean(sigma, step.down);
      MoveTowards(ctx, run.x, denoised, sigma, middle, x_2);
      run.denoiser.Denoise(ctx, x_2, middle, denoised);
    }
    const double keep = step.down / sigma;
    const double amount = step.up * options.s_noise;
    Combine(ctx, run.x, {{keep, run.x}, {1 - keep, denoised}},
            NoiseOf(run, i, sigma, next, amount));
  }
}

}  // namespace gesso
