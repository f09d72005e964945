// DPM-Solver++(2M) for the diffusion SDE: second order from the estimates of this step and the
// last, with noise; eta = 0 with solver_type midpoint is dpmpp_2m.
// Paper: Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic
// models", section 5 (SDE-DPM-Solver++ 2M).
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpmpp_2m_sde.
#include <cmath>
#include <utility>

#include "samplers/diffusion/steps.h"

namespace gesso {

void SampleDpmpp2mSde(Context& ctx, const SamplerRun& run, const Dpmpp2mSdeOptions& options) {
  Arena::Scope scope(*ctx.arena);
  View denoised = Buffer(ctx, run);
  View last_denoised = Buffer(ctx, run);
  double h_last = 0;  // step length in t; 0 before the first
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    if (next == 0) {
      MoveTowards(ctx, run.x, denoised, sigma, next, run.x);
      continue;
    }
    const double h = std::log(sigma / next);
    const double a = h * (1 + options.eta);
    const double gain = -std::expm1(-a);  // 1 - e^-a
    const double weight = options.solver_type == "heun" ? 1 - gain / a : gain / 2;
    const double correction = h_last > 0 ? weight * h / h_last : 0;
    const double amount = next * std::sqrt(-std::expm1(-2 * options.eta * h)) * options.s_noise;
    Combine(ctx, run.x,
            {{1 - gain, run.x}, {gain + correction, denoised}, {-correction, last_denoised}},
            NoiseOf(run, i, sigma, next, amount));
    std::swap(denoised, last_denoised);
    h_last = h;
  }
}

}  // namespace gesso
