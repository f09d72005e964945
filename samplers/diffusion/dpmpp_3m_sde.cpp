// DPM-Solver++(3M) for the diffusion SDE: third order from the estimates of three steps, with
// noise.
// Paper: Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic
// models", section 5, carried to third order by its official source.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpmpp_3m_sde.
#include <cmath>
#include <utility>

#include "samplers/diffusion/steps.h"

namespace gesso {

namespace {

// What this step's and the two last estimates add to the first-order step of length a.
struct Correction {
  double now = 0;
  double last = 0;
  double last_2 = 0;
};

// h, h_1, h_2: lengths in t of this step and the two before, 0 where there was none.
Correction CorrectionOf(double a, double h, double h_1, double h_2) {
  if (h_1 == 0) return {};
  const double phi_2 = std::expm1(-a) / a + 1;
  const double r_0 = h_1 / h;
  if (h_2 == 0) return {.now = phi_2 / r_0, .last = -phi_2 / r_0};
  const double phi_3 = phi_2 / a - 0.5;
  const double r_1 = h_2 / h;
  // Weights of the first divided differences (D - D1) / r_0 and (D1 - D2) / r_1.
  const double bend = (phi_2 * r_0 - phi_3) / (r_0 + r_1);
  const double near = (phi_2 + bend) / r_0;
  const double far = -bend / r_1;
  return {.now = near, .last = far - near, .last_2 = -far};
}

}  // namespace

void SampleDpmpp3mSde(Context& ctx, const SamplerRun& run, const AncestralOptions& options) {
  Arena::Scope scope(*ctx.arena);
  View denoised = Buffer(ctx, run);
  View denoised_1 = Buffer(ctx, run);
  View denoised_2 = Buffer(ctx, run);
  double h_1 = 0;
  double h_2 = 0;
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
    const Correction add = CorrectionOf(a, h, h_1, h_2);
    const double amount = next * std::sqrt(-std::expm1(-2 * options.eta * h)) * options.s_noise;
    Combine(ctx, run.x,
            {{std::exp(-a), run.x},
             {-std::expm1(-a) + add.now, denoised},
             {add.last, denoised_1},
             {add.last_2, denoised_2}},
            NoiseOf(run, i, sigma, next, amount));
    std::swap(denoised_1, denoised_2);
    std::swap(denoised, denoised_1);
    h_2 = std::exchange(h_1, h);
  }
}

}  // namespace gesso
