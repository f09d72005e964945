#include "samplers/diffusion/steps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "kernels/elementwise.h"

namespace gesso {

AncestralStep SplitAncestral(double from, double to, double eta) {
  if (eta == 0) return {to, 0};
  const double up = std::min(to, eta * to * std::sqrt(from * from - to * to) / from);
  return {std::sqrt(to * to - up * up), up};
}

double GeometricMean(double a, double b) { return std::sqrt(a * b); }

int64_t StepCount(const SamplerRun& run) { return static_cast<int64_t>(run.sigmas.size()) - 1; }

View Buffer(Context& ctx, const SamplerRun& run) {
  return ctx.arena->Alloc(run.x.shape, DType::kF32);
}

void Combine(Context& ctx, View out, std::initializer_list<Weighted> terms) {
  std::array<Term, 8> kept;
  CHECK(terms.size() <= kept.size());
  size_t count = 0;
  for (const Weighted& term : terms) {
    if (term.coefficient != 0) kept[count++] = {static_cast<float>(term.coefficient), term.x};
  }
  LinearCombination(ctx, {.terms = std::span(kept).first(count), .out = out});
}

void MoveTowards(Context& ctx, ConstView x, ConstView denoised, double from, double to, View out) {
  Combine(ctx, out, {{to / from, x}, {1 - to / from, denoised}});
}

void DrawNoise(Context& ctx, const SamplerRun& run, int64_t draw, double sigma, double sigma_next,
               double amount, View noise) {
  if (amount != 0) run.noise.Draw(ctx, draw, sigma, sigma_next, noise);
}

double Churn(Context& ctx, const SamplerRun& run, const ChurnOptions& options, int64_t step,
             View noise) {
  const double sigma = run.sigmas[static_cast<size_t>(step)];
  if (options.s_churn == 0 || sigma < options.s_tmin || sigma > options.s_tmax) return sigma;
  const double gamma =
      std::min(options.s_churn / static_cast<double>(StepCount(run)), std::numbers::sqrt2 - 1);
  const double raised = sigma * (1 + gamma);
  const double amount = options.s_noise * std::sqrt(raised * raised - sigma * sigma);
  DrawNoise(ctx, run, step, raised, sigma, amount, noise);
  Combine(ctx, run.x, {{1, run.x}, {amount, noise}});
  return raised;
}

void Report(Context& ctx, const SamplerRun& run, const SamplerStep& step) {
  if (run.observer && ctx.device != Device::kMeta) run.observer(step);
}

void ReportStep(Context& ctx, const SamplerRun& run, int64_t index, double sigma,
                ConstView denoised) {
  const int64_t count = StepCount(run);
  Report(ctx, run,
         {.index = index,
          .count = count,
          .progress = static_cast<double>(index) / static_cast<double>(count),
          .sigma = sigma,
          .x = run.x,
          .denoised = denoised});
}

}  // namespace gesso
