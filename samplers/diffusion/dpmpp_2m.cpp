// DPM-Solver++(2M): second order in log sigma from the estimates of this step and the last.
// Paper: Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic
// models", algorithm 2.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpmpp_2m.
#include <cmath>
#include <utility>

#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleDpmpp2m(Context& ctx, const SamplerRun& run, const NoOptions& /*options*/) {
  Arena::Scope scope(*ctx.arena);
  View denoised = Buffer(ctx, run);
  View last_denoised = Buffer(ctx, run);
  double h_last = 0;  // step length in t; 0 before the first
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    const double h = std::log(sigma / next);  // infinite in a step to 0, which is first order
    const double extrapolate = h_last > 0 && next > 0 ? h / (2 * h_last) : 0;
    const double keep = next / sigma;
    Combine(ctx, run.x,
            {{keep, run.x},
             {(1 - keep) * (1 + extrapolate), denoised},
             {-(1 - keep) * extrapolate, last_denoised}});
    std::swap(denoised, last_denoised);
    h_last = h;
  }
}

}  // namespace gesso
