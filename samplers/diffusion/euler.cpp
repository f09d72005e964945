// Euler steps along the probability-flow ODE, with noise added before a step on request.
// Paper: Karras et al. 2022, "Elucidating the design space of diffusion-based generative models",
// algorithm 2 without its correction.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_euler.
#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleEuler(Context& ctx, const SamplerRun& run, const ChurnOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const View denoised = Buffer(ctx, run);
  double sigma = RaiseStart(ctx, run, options);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    const RaisedLevel after = Churn(run, options, i + 1);
    MoveTowards(ctx, run.x, denoised, sigma, next, run.x, after.noise);
    sigma = after.sigma;
  }
}

}  // namespace gesso
