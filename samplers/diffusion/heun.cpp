// Heun's second-order steps: the mean of the slopes at both ends.
// Paper: Karras et al. 2022, "Elucidating the design space of diffusion-based generative models",
// algorithm 2.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_heun.
#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleHeun(Context& ctx, const SamplerRun& run, const ChurnOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const View denoised = Buffer(ctx, run);
  const View denoised_2 = Buffer(ctx, run);
  const View x_2 = Buffer(ctx, run);
  double sigma = RaiseStart(ctx, run, options);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    if (next == 0) {
      MoveTowards(ctx, run.x, denoised, sigma, next, run.x);
      continue;
    }
    MoveTowards(ctx, run.x, denoised, sigma, next, x_2);
    run.denoiser.Denoise(ctx, x_2, next, denoised_2);
    const double slope = (next - sigma) / (2 * sigma);
    const double slope_2 = (next - sigma) / (2 * next);
    const RaisedLevel after = Churn(run, options, i + 1);
    Combine(ctx, run.x,
            {{1 + slope, run.x}, {-slope, denoised}, {slope_2, x_2}, {-slope_2, denoised_2}},
            after.noise);
    sigma = after.sigma;
  }
}

}  // namespace gesso
