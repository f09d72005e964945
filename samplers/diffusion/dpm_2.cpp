// Second-order steps with the slope at the geometric mean of both noise levels, after DPM-Solver-2.
// Papers: Lu et al. 2022, "DPM-Solver", algorithm 1; Karras et al. 2022, algorithm 2 (churn).
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpm_2.
#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleDpm2(Context& ctx, const SamplerRun& run, const ChurnOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const View denoised = Buffer(ctx, run);
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
    const double middle = GeometricMean(sigma, next);
    MoveTowards(ctx, run.x, denoised, sigma, middle, x_2);
    run.denoiser.Denoise(ctx, x_2, middle, denoised);
    const double slope = (next - sigma) / middle;
    const RaisedLevel after = Churn(run, options, i + 1);
    Combine(ctx, run.x, {{1, run.x}, {slope, x_2}, {-slope, denoised}}, after.noise);
    sigma = after.sigma;
  }
}

}  // namespace gesso
