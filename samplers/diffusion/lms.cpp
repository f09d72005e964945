// Linear multistep: the slopes of the last steps, interpolated in sigma and integrated exactly
// (Adams-Bashforth with unequal steps).
// Paper: Liu et al. 2022, "Pseudo numerical methods for diffusion models on manifolds" (the idea).
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_lms.
#include <algorithm>
#include <array>

#include "samplers/diffusion/steps.h"

namespace gesso {

namespace {

using Coefficients = std::array<double, LmsOptions::kMaxOrder>;

// Coefficient j: the integral from sigmas[i] to sigmas[i+1] of the Lagrange polynomial that is 1 at
// sigmas[i-j] and 0 at the other nodes sigmas[i-k], k < order. In units of the step, with the
// origin at sigmas[i].
double Coefficient(std::span<const double> sigmas, size_t i, size_t order, size_t j) {
  const double step = sigmas[i + 1] - sigmas[i];
  const auto node = [&](size_t k) { return (sigmas[i - k] - sigmas[i]) / step; };
  Coefficients polynomial{1};  // of ascending degree
  for (size_t k = 0; k < order; ++k) {
    if (k == j) continue;
    const double scale = 1 / (node(j) - node(k));
    for (size_t degree = order; degree-- > 0;) {
      const double lower = degree > 0 ? polynomial[degree - 1] : 0;
      polynomial[degree] = (lower - node(k) * polynomial[degree]) * scale;
    }
  }
  double integral = 0;
  for (size_t degree = 0; degree < order; ++degree) {
    integral += polynomial[degree] / static_cast<double>(degree + 1);
  }
  return integral * step;
}

// Coefficients by age of the slope, 0 for slopes that do not exist yet.
Coefficients StepCoefficients(std::span<const double> sigmas, size_t i, size_t max_order) {
  const size_t order = std::min(i + 1, max_order);
  Coefficients coefficients{};
  for (size_t j = 0; j < order; ++j) coefficients[j] = Coefficient(sigmas, i, order, j);
  return coefficients;
}

}  // namespace

void SampleLms(Context& ctx, const SamplerRun& run, const LmsOptions& options) {
  Arena::Scope scope(*ctx.arena);
  const auto order = static_cast<size_t>(std::min(options.order, StepCount(run)));
  const View denoised = Buffer(ctx, run);
  std::array<View, LmsOptions::kMaxOrder> slopes;  // newest first
  for (size_t j = 0; j < order; ++j) slopes[j] = Buffer(ctx, run);
  for (int64_t i = 0; i < StepCount(run); ++i) {
    const double sigma = run.sigmas[static_cast<size_t>(i)];
    run.denoiser.Denoise(ctx, run.x, sigma, denoised);
    ReportStep(ctx, run, i, sigma, denoised);
    std::rotate(slopes.begin(), slopes.begin() + order - 1, slopes.begin() + order);
    Combine(ctx, slopes[0], {{1 / sigma, run.x}, {-1 / sigma, denoised}});
    const Coefficients c = StepCoefficients(run.sigmas, static_cast<size_t>(i), order);
    Combine(ctx, run.x,
            {{1, run.x},
             {c[0], slopes[0]},
             {c[1], slopes[1]},
             {c[2], slopes[2]},
             {c[3], slopes[3]},
             {c[4], slopes[4]},
             {c[5], slopes[5]},
             {c[6], slopes[6]}});
  }
}

}  // namespace gesso
