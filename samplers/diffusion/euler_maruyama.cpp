// The reverse variance-preserving SDE by Euler-Maruyama's method in the process's own time: what
// DiM's models of pixels are sampled with, in many steps.
// Paper: Song et al. 2021, "Score-based generative modeling through stochastic differential
// equations", appendix B.
// Official source tyshiwo1/DiM-DiffusionMamba sde.py:euler_maruyama, ReverseSDE, VPSDE.
#include <cmath>

#include "samplers/diffusion/steps.h"
#include "samplers/vp_process.h"

namespace gesso {

void SampleEulerMaruyama(Context& ctx, const SamplerRun& run, const EulerMaruyamaOptions& options) {
  const Arena::Scope scope(*ctx.arena);
  const VpProcess process{.beta_d = options.beta_d, .beta_min = options.beta_min};
  const View denoised = Buffer(ctx, run);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    const double next = run.sigmas[static_cast<size_t>(i) + 1];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    const double t = process.TimeAt(sigma);
    const double length = t - process.TimeAt(next);
    const double beta = process.BetaAt(t);
    // In the process, where x has unit power: x + length beta (x / 2 + score), the score being
    // -(x - D) / sigma times sqrt(1 + 1 / sigma^2); run.x is larger by sqrt(1 + sigma^2).
    const double grow = std::hypot(1, next) / std::hypot(1, sigma);
    const double drift = length * beta * (1 + sigma * sigma) / (sigma * sigma);
    const double amount = next > 0 ? std::hypot(1, next) * std::sqrt(beta * length) : 0;
    Combine(ctx, run.x, {{grow * (1 + length * beta / 2 - drift), run.x}, {grow * drift, denoised}},
            NoiseOf(run, i, sigma, next, amount));
  }
}

}  // namespace gesso
