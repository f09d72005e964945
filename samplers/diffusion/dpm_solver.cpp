#include "samplers/diffusion/dpm_solver.h"

#include <algorithm>
#include <cmath>

namespace gesso {

namespace {

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

std::vector<int64_t> SinglestepOrders(int64_t calls, int64_t order) {
  std::vector<int64_t> orders(static_cast<size_t>(calls / order), order);
  const int64_t rest = calls % order;
  if (rest > 0) orders.push_back(rest);
  if (order == 3 && rest == 0 && calls > 0) {
    orders.back() = 2;
    orders.push_back(1);
  }
  return orders;
}

DpmSolver::DpmSolver(Context& ctx, const SamplerRun& run, int64_t order, Prediction prediction)
    : ctx_(ctx),
      run_(run),
      prediction_(prediction),
      point_(Buffer(ctx, run)),
      first_(Buffer(ctx, run)) {
  if (order >= 2) second_ = Buffer(ctx, run);
  if (order >= 3) third_ = Buffer(ctx, run);
}

void DpmSolver::Call(double t, View denoised) {
  run_.denoiser.Denoise(ctx_, point_, SigmaOf(t), denoised);
  last_ = {.t = t, .denoised = denoised};
}

double DpmSolver::Gain(double t, double to) const {
  return prediction_ == Prediction::kNoise ? SigmaOf(to) - SigmaOf(t) : -std::expm1(t - to);
}

double DpmSolver::Curve(double t, double to) const {
  const double h = to - t;
  return prediction_ == Prediction::kNoise ? -SigmaOf(to) * (std::expm1(h) / h - 1)
                                           : std::expm1(-h) / h + 1;
}

// Predictions are not made but put in as what they are sums of.
void DpmSolver::Move(double t, double to, double bend, View out, const AddedNoise& noise) {
  const double gain = Gain(t, to) - bend;
  if (prediction_ == Prediction::kData) {
    return Combine(ctx_, out, {{std::exp(t - to), run_.x}, {gain, first_}, {bend, last_.denoised}},
                   noise);
  }
  const double share = gain / SigmaOf(t);
  const double other = bend == 0 ? 0 : bend / SigmaOf(last_.t);
  Combine(ctx_, out,
          {{1 + share, run_.x}, {-share, first_}, {other, point_}, {-other, last_.denoised}},
          noise);
}

void DpmSolver::Begin(double t) { run_.denoiser.Denoise(ctx_, run_.x, SigmaOf(t), first_); }

void DpmSolver::CallSecond(double t, double t_next, double r1) {
  const double s1 = t + r1 * (t_next - t);
  Move(t, s1, 0, point_);
  Call(s1, second_);
}

void DpmSolver::CallThird(double t, double t_next, double r1, double r2) {
  const double s2 = t + r2 * (t_next - t);
  Move(t, s2, r2 / r1 * Curve(t, s2), point_);
  Call(s2, third_);
}

void DpmSolver::Solve1(double t, double t_next, View out, const AddedNoise& noise) {
  Move(t, t_next, 0, out, noise);
}

void DpmSolver::Solve2(double t, double t_next, double r1, View out, const AddedNoise& noise) {
  Move(t, t_next, Gain(t, t_next) / (2 * r1), out, noise);
}

void DpmSolver::Solve3(double t, double t_next, double r2, View out, const AddedNoise& noise) {
  Move(t, t_next, Curve(t, t_next) / r2, out, noise);
}

}  // namespace gesso
