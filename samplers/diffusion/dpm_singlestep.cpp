// DPM-Solver and DPM-Solver++, singlestep: a step of order o jumps over o levels of the schedule
// and calls the model at those in between, so that n steps of the schedule cost n model calls.
// Papers: Lu et al. 2022, "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling
// in around 10 steps"; Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion
// probabilistic models".
// Official source LuChengTHU/dpm-solver dpm_solver_pytorch.py:DPM_Solver.sample
// (method "singlestep_fixed" and the "fast" version's orders).
#include <cmath>

#include "samplers/diffusion/dpm_solver.h"

namespace gesso {

namespace {

// One step of `order` from level `i` of the schedule.
void Step(DpmSolver& solver, std::span<const double> sigmas, size_t i, int64_t order, View out) {
  const auto time = [&](int64_t jump) { return -std::log(sigmas[i + static_cast<size_t>(jump)]); };
  const double t = time(0);
  const double t_next = time(order);
  const double r1 = (time(1) - t) / (t_next - t);
  if (order == 1) return solver.Solve1(t, t_next, out);
  solver.CallSecond(t, t_next, r1);
  if (order == 2) return solver.Solve2(t, t_next, r1, out);
  const double r2 = (time(2) - t) / (t_next - t);
  solver.CallThird(t, t_next, r1, r2);
  solver.Solve3(t, t_next, r2, out);
}

}  // namespace

void SampleDpmSinglestep(Context& ctx, const SamplerRun& run, const DpmSinglestepOptions& options) {
  const Arena::Scope scope(*ctx.arena);
  const bool to_zero = run.sigmas.back() == 0;
  const int64_t calls = StepCount(run) - (to_zero ? 1 : 0);
  const std::vector<int64_t> orders = SinglestepOrders(calls, options.order);
  DpmSolver solver(ctx, run, options.order,
                   options.prediction == "noise" ? Prediction::kNoise : Prediction::kData);
  const auto count = static_cast<int64_t>(orders.size()) + (to_zero ? 1 : 0);
  size_t level = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double sigma = run.sigmas[level];
    solver.Begin(-std::log(sigma));
    Report(ctx, run,
           {.index = i,
            .count = count,
            .progress = static_cast<double>(i) / static_cast<double>(count),
            .sigma = sigma,
            .x = run.x,
            .denoised = solver.denoised()});
    if (i == static_cast<int64_t>(orders.size())) {
      return Combine(ctx, run.x, {{1, solver.denoised()}});
    }
    const int64_t order = orders[static_cast<size_t>(i)];
    Step(solver, run.sigmas, level, order, run.x);
    level += static_cast<size_t>(order);
  }
}

}  // namespace gesso
