// DPM-Solver of orders 1 to 3 in t = -log sigma, for dpm_fast, dpm_adaptive and dpm_singlestep: one
// step is a few predictions, of the noise eps = (x - D) / sigma or of the data D, and a sum of
// them. Papers: Lu et al. 2022, "DPM-Solver: a fast ODE solver for diffusion probabilistic model
// sampling in around 10 steps", algorithms 1 and 2; Lu et al. 2022, "DPM-Solver++: fast solver for
// guided sampling of diffusion probabilistic models", section 4. Official source
// crowsonkb/k-diffusion k_diffusion/sampling.py:DPMSolver; LuChengTHU/dpm-solver
// dpm_solver_pytorch.py:DPM_Solver.singlestep_dpm_solver_{second,third}_update.
#pragma once

#include <vector>

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

// Orders of the steps that together take `calls` model calls: as many of `order` (1 to 3) as
// possible, then the rest; at order 3, 2 and 1 come last where 3 divides `calls`.
std::vector<int64_t> SinglestepOrders(int64_t calls, int64_t order);

// What a step takes for constant at first order.
enum class Prediction { kNoise, kData };

// The predictions of one step from run.x. Memory comes from the caller's arena scope.
class DpmSolver {
 public:
  // For steps of up to `order`.
  DpmSolver(Context& ctx, const SamplerRun& run, int64_t order,
            Prediction prediction = Prediction::kNoise);

  // First model call, at t. denoised() is its result.
  void Begin(double t);
  ConstView denoised() const { return first_; }
  // Second model call, at t + r1 (t_next - t), and third, at t + r2 (t_next - t).
  void CallSecond(double t, double t_next, double r1);
  void CallThird(double t, double t_next, double r1 = 1.0 / 3, double r2 = 2.0 / 3);

  // out = x at t_next by a solver of order 1, 2, 3 from the calls so far, plus noise; may be run.x.
  void Solve1(double t, double t_next, View out, const AddedNoise& noise = {});
  void Solve2(double t, double t_next, double r1, View out, const AddedNoise& noise = {});
  void Solve3(double t, double t_next, double r2, View out, const AddedNoise& noise = {});

 private:
  // What the last model call after the first one was for, and gave: its time, its estimate.
  struct Between {
    double t = 0;
    ConstView denoised = {};
  };
  // The model at point_, which is at t.
  void Call(double t, View denoised);
  // out = run.x at `to` at first order, plus `bend` times the second-order term of the change from
  // the first prediction to the last one, plus noise.
  void Move(double t, double to, double bend, View out, const AddedNoise& noise = {});
  // Of order 1 and 2: factor of the first prediction, and of its change over the step.
  double Gain(double t, double to) const;
  double Curve(double t, double to) const;

  Context& ctx_;
  const SamplerRun& run_;
  Prediction prediction_;
  View point_;  // x in between
  Between last_;
  View first_;  // estimates, by call
  View second_;
  View third_;
};

}  // namespace gesso
