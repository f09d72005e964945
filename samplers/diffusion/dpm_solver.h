// DPM-Solver of orders 1 to 3 in t = -log sigma, for dpm_fast and dpm_adaptive: one step is a few
// slopes eps = (x - D) / sigma and a sum of them.
// Paper: Lu et al. 2022, "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling
// in around 10 steps", algorithms 1 and 2.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:DPMSolver.
#pragma once

#include "samplers/diffusion/steps.h"

namespace gesso {

// The ends of a run in t. Both are the same where the schedule has one positive level only.
struct TimeRange {
  double start;
  double end;
};
TimeRange TimesOf(std::span<const double> sigmas);

// A step to t_next with noise: the solver goes to `t` (>= t_next, <= t_end), then noise of standard
// deviation `up` is added.
struct NoisyTarget {
  double t;
  double up;
};
NoisyTarget TargetOf(double t, double t_next, double t_end, double eta);

// The slopes of one step from run.x. Memory comes from the caller's arena scope.
class DpmSolver {
 public:
  // For steps of up to `order`.
  DpmSolver(Context& ctx, const SamplerRun& run, int64_t order);

  // First model call, at t. denoised() holds its result until the next call.
  void Begin(double t);
  ConstView denoised() const { return scratch_; }
  // Second model call, at t + r1 (t_next - t), and third, at 2/3 (with r1 = 1/3).
  void CallSecond(double t, double t_next, double r1);
  void CallThird(double t, double t_next);

  // out = x at t_next by a solver of order 1, 2, 3 from the calls so far; may be run.x.
  void Solve1(double t, double t_next, View out);
  void Solve2(double t, double t_next, double r1, View out);
  void Solve3(double t, double t_next, View out);

 private:
  // eps = (x - D(x, sigma(t))) / sigma(t).
  void Slope(ConstView x, double t, View eps);

  Context& ctx_;
  const SamplerRun& run_;
  View scratch_;  // D at the start, then the points in between
  View eps_;
  View eps_1_;
  View eps_2_;
};

}  // namespace gesso
