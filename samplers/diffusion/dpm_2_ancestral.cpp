// Ancestral sampling with the second-order steps of dpm_2.
// Paper: Lu et al. 2022, "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling
// in around 10 steps", algorithm 1.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpm_2_ancestral.
#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleDpm2Ancestral(Context& ctx, const SamplerRun& run, const AncestralOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const View denoised = Buffer(ctx, run);
  const View x_2 = Buffer(ctx, run);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    const AncestralStep step = SplitAncestral(sigma, next, options.eta);
    if (step.down == 0) {  // officially without noise, even where step.up > 0
      MoveTowards(ctx, run.x, denoised, sigma, 0, run.x);
      continue;
    }
    const double middle = GeometricMean(sigma, step.down);
    MoveTowards(ctx, run.x, denoised, sigma, middle, x_2);
    run.denoiser.Denoise(ctx, x_2, middle, denoised);
    const double slope = (step.down - sigma) / middle;
    const double amount = step.up * options.s_noise;
    Combine(ctx, run.x, {{1, run.x}, {slope, x_2}, {-slope, denoised}},
            NoiseOf(run, i, sigma, next, amount));
  }
}

}  // namespace gesso
