#include "samplers/diffusion/dpm_solver.h"

#include <algorithm>
#include <cmath>

namespace gesso {

namespace {

constexpr double kR1 = 1.0 / 3;  // of third-order steps
constexpr double kR2 = 2.0 / 3;

double SigmaOf(double t) { return std::exp(-t); }

}  // namespace

TimeRange TimesOf(std::span<const double> sigmas) {
  const double last = sigmas.back() > 0 ? sigmas.back() : sigmas[sigmas.size() - 2];
  return {-std::log(sigmas.front()), -std::log(last)};
}

NoisyTarget TargetOf(double t, double t_next, double t_end, double eta) {
  if (eta == 0) return {t_next, 0};
  const double sigma_next = SigmaOf(t_next);
  const double down = SplitAncestral(SigmaOf(t), sigma_next, eta).down;
  const double target = std::min(t_end, -std::log(down));
  const double sigma_target = SigmaOf(target);
  const double variance = sigma_next * sigma_next - sigma_target * sigma_target;
  return {target, std::sqrt(std::max(0.0, variance))};
}

DpmSolver::DpmSolver(Context& ctx, const SamplerRun& run, int64_t order)
    : ctx_(ctx), run_(run), scratch_(Buffer(ctx, run)), eps_(Buffer(ctx, run)) {
  if (order >= 2) eps_1_ = Buffer(ctx, run);
  if (order >= 3) eps_2_ = Buffer(ctx, run);
}

void DpmSolver::Slope(ConstView x, double t, View eps) {
  const double sigma = SigmaOf(t);
  run_.denoiser.Denoise(ctx_, x, sigma, eps);
  Combine(ctx_, eps, {{1 / sigma, x}, {-1 / sigma, eps}});
}

void DpmSolver::Begin(double t) {
  const double sigma = SigmaOf(t);
  run_.denoiser.Denoise(ctx_, run_.x, sigma, scratch_);
  Combine(ctx_, eps_, {{1 / sigma, run_.x}, {-1 / sigma, scratch_}});
}

void DpmSolver::CallSecond(double t, double t_next, double r1) {
  const double s1 = t + r1 * (t_next - t);
  Combine(ctx_, scratch_, {{1, run_.x}, {SigmaOf(s1) - SigmaOf(t), eps_}});
  Slope(scratch_, s1, eps_1_);
}

void DpmSolver::CallThird(double t, double t_next) {
  const double length = kR2 * (t_next - t);
  const double s2 = t + length;
  const double bend = SigmaOf(s2) * (kR2 / kR1) * (std::expm1(length) / length - 1);
  Combine(ctx_, scratch_, {{1, run_.x}, {SigmaOf(s2) - SigmaOf(t) + bend, eps_}, {-bend, eps_1_}});
  Slope(scratch_, s2, eps_2_);
}

void DpmSolver::Solve1(double t, double t_next, View out) {
  Combine(ctx_, out, {{1, run_.x}, {SigmaOf(t_next) - SigmaOf(t), eps_}});
}

void DpmSolver::Solve2(double t, double t_next, double r1, View out) {
  const double step = SigmaOf(t_next) - SigmaOf(t);
  const double bend = step / (2 * r1);
  Combine(ctx_, out, {{1, run_.x}, {step - bend, eps_}, {bend, eps_1_}});
}

void DpmSolver::Solve3(double t, double t_next, View out) {
  const double h = t_next - t;
  const double step = SigmaOf(t_next) - SigmaOf(t);
  const double bend = SigmaOf(t_next) / kR2 * (std::expm1(h) / h - 1);
  Combine(ctx_, out, {{1, run_.x}, {step + bend, eps_}, {-bend, eps_2_}});
}

}  // namespace gesso
