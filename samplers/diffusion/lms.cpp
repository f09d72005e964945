// Linear multistep: the slopes of the last steps, interpolated in sigma and integrated exactly
// (Adams-Bashforth with unequal steps).
// Paper: Liu et al. 2022, "Pseudo numerical methods for diffusion models on manifolds" (the idea).
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_lms.
#include <algorithm>
#include <array>

#include "kernels/elementwise.h"
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

// x += sum of c_j slopes_j, of which the newest, (x - denoised) / sigma, is made in the same pass.
void MoveAlong(Context& ctx, View x, ConstView denoised, double sigma, const Coefficients& c,
               std::span<const View> slopes) {
  const double share = c[0] / sigma;
  const auto inverse = static_cast<float>(1 / sigma);
  std::array<Term, 1 + LmsOptions::kMaxOrder> terms = {
      {{static_cast<float>(1 + share), x, inverse},
       {static_cast<float>(-share), denoised, -inverse}}};
  size_t count = 2;
  for (size_t j = 1; j < c.size(); ++j) {
    if (c[j] != 0) terms[count++] = {static_cast<float>(c[j]), slopes[j]};
  }
  LinearCombination(ctx,
                    {.terms = std::span(terms).first(count), .out = x, .also = slopes.front()});
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
    MoveAlong(ctx, run.x, denoised, sigma,
              StepCoefficients(run.sigmas, static_cast<size_t>(i), order), slopes);
  }
}

}  // namespace gesso
