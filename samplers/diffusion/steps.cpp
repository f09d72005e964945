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

AddedNoise NoiseOf(const SamplerRun& run, int64_t draw, double sigma, double sigma_next,
                   double amount) {
  if (amount == 0) return {};
  return {.amount = amount, .draw = run.noise.Draw(draw, sigma, sigma_next)};
}

void Combine(Context& ctx, View out, std::initializer_list<Weighted> terms,
             const AddedNoise& noise) {
  std::array<Term, 8> kept;
  CHECK(terms.size() <= kept.size());
  size_t count = 0;
  for (const Weighted& term : terms) {
    if (term.coefficient != 0) kept[count++] = {static_cast<float>(term.coefficient), term.x};
  }
  const std::span<const Term> sum = std::span(kept).first(count);
  if (noise.amount == 0) return LinearCombination(ctx, {.terms = sum, .out = out});
  AddUp(ctx, sum, noise.amount, noise.draw, out);
}

void MoveTowards(Context& ctx, ConstView x, ConstView denoised, double from, double to, View out,
                 const AddedNoise& noise) {
  Combine(ctx, out, {{to / from, x}, {1 - to / from, denoised}}, noise);
}

RaisedLevel Churn(const SamplerRun& run, const ChurnOptions& options, int64_t step) {
  const double sigma = run.sigmas[static_cast<size_t>(step)];
  const bool is_over = step == StepCount(run);
  if (is_over || options.s_churn == 0 || sigma < options.s_tmin || sigma > options.s_tmax) {
    return {.sigma = sigma};
  }
  const double gamma =
      std::min(options.s_churn / static_cast<double>(StepCount(run)), std::numbers::sqrt2 - 1);
  const double raised = sigma * (1 + gamma);
  const double amount = options.s_noise * std::sqrt(raised * raised - sigma * sigma);
  return {.sigma = raised, .noise = NoiseOf(run, step, raised, sigma, amount)};
}

double RaiseStart(Context& ctx, const SamplerRun& run, const ChurnOptions& options) {
  const RaisedLevel level = Churn(run, options, 0);
  if (level.noise.amount != 0) Combine(ctx, run.x, {{1, run.x}}, level.noise);
  return level.sigma;
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
