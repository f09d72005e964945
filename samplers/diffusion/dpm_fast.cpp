// DPM-Solver-fast: equal steps in log sigma, of order 3 as far as the number of model calls allows,
// of lower order at the end.
// Paper: Lu et al. 2022, "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling
// in around 10 steps", section 3.4.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpm_fast.
#include <cmath>

#include "samplers/diffusion/dpm_solver.h"

namespace gesso {

namespace {

void Step(DpmSolver& solver, int64_t order, double t, double t_next, View out,
          const AddedNoise& noise) {
  if (order == 1) return solver.Solve1(t, t_next, out, noise);
  const double r1 = order == 2 ? 1.0 / 2 : 1.0 / 3;
  solver.CallSecond(t, t_next, r1);
  if (order == 2) return solver.Solve2(t, t_next, r1, out, noise);
  solver.CallThird(t, t_next);
  solver.Solve3(t, t_next, 2.0 / 3, out, noise);
}

}  // namespace

void SampleDpmFast(Context& ctx, const SamplerRun& run, const DpmFastOptions& options) {
  const TimeRange times = TimesOf(run.sigmas);
  if (times.end <= times.start) return SampleEuler(ctx, run, {});
  Arena::Scope scope(*ctx.arena);
  const std::vector<int64_t> orders = SinglestepOrders(StepCount(run), 3);
  const auto steps = static_cast<int64_t>(orders.size());
  DpmSolver solver(ctx, run, orders.front());
  for (int64_t i = 0; i < steps; ++i) {
    const auto time = [&](int64_t step) {
      const double share = static_cast<double>(step) / static_cast<double>(steps);
      return step == steps ? times.end : times.start + share * (times.end - times.start);
    };
    const double t = time(i);
    const double t_next = time(i + 1);
    const NoisyTarget target = TargetOf(t, t_next, times.end, options.eta);
    solver.Begin(t);
    Report(ctx, run,
           {.index = i,
            .count = steps,
            .progress = static_cast<double>(i) / static_cast<double>(steps),
            .sigma = std::exp(-t),
            .x = run.x,
            .denoised = solver.denoised()});
    Step(solver, orders[static_cast<size_t>(i)], t, target.t, run.x,
         NoiseOf(run, i, std::exp(-t), std::exp(-t_next), target.up * options.s_noise));
  }
}

}  // namespace gesso
