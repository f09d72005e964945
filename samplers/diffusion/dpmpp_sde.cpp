// DPM-Solver++ for the diffusion SDE: an ancestral step to a point in between, then one from the
// start with the estimate there. Its two draws of noise overlap, hence a Brownian path.
// Paper: Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic
// models", section 5.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpmpp_sde.
#include <cmath>

#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleDpmppSde(Context& ctx, const SamplerRun& run, const DpmppSdeOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const View denoised = Buffer(ctx, run);
  const View denoised_2 = Buffer(ctx, run);
  const View x_2 = Buffer(ctx, run);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    if (next == 0) {
      MoveTowards(ctx, run.x, denoised, sigma, next, run.x);
      continue;
    }
    const double middle = std::pow(sigma, 1 - options.r) * std::pow(next, options.r);
    const AncestralStep step_1 = SplitAncestral(sigma, middle, options.eta);
    const double keep_1 = step_1.down / sigma;
    const double amount_1 = step_1.up * options.s_noise;
    Combine(ctx, x_2, {{keep_1, run.x}, {1 - keep_1, denoised}},
            NoiseOf(run, 2 * i, sigma, middle, amount_1));
    run.denoiser.Denoise(ctx, x_2, middle, denoised_2);

    const double share_2 = 1 / (2 * options.r);  // of the second estimate in D'
    const AncestralStep step_2 = SplitAncestral(sigma, next, options.eta);
    const double keep_2 = step_2.down / sigma;
    const double amount_2 = step_2.up * options.s_noise;
    Combine(ctx, run.x,
            {{keep_2, run.x},
             {(1 - keep_2) * (1 - share_2), denoised},
             {(1 - keep_2) * share_2, denoised_2}},
            NoiseOf(run, 2 * i + 1, sigma, next, amount_2));
  }
}

}  // namespace gesso
