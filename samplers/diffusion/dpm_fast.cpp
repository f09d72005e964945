// DPM-Solver-fast: equal steps in log sigma, of order 3 as far as the number of model calls allows,
// of lower order at the end.
// Paper: Lu et al. 2022, "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling
// in around 10 steps", section 3.4.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpm_fast.
#include <cmath>

#include "samplers/diffusion/dpm_solver.h"

namespace gesso {

namespace {

// Order of step i of `steps` with `calls` model calls in all: 3, ..., 3, 2, 1 where 3 divides them,
// else 3, ..., 3 and the rest.
int64_t OrderOf(int64_t i, int64_t steps, int64_t calls) {
  const int64_t left = steps - i;
  if (calls % 3 == 0) return left > 2 ? 3 : left;
  return left > 1 ? 3 : calls % 3;
}

void Step(DpmSolver& solver, int64_t order, double t, double t_next, View out) {
  if (order == 1) return solver.Solve1(t, t_next, out);
  const double r1 = order == 2 ? 1.0 / 2 : 1.0 / 3;
  solver.CallSecond(t, t_next, r1);
  if (order == 2) return solver.Solve2(t, t_next, r1, out);
  solver.CallThird(t, t_next);
  solver.Solve3(t, t_next, out);
}

}  // namespace

void SampleDpmFast(Context& ctx, const SamplerRun& run, const DpmFastOptions& options) {
  const TimeRange times = TimesOf(run.sigmas);
  if (times.end <= times.start) return SampleEuler(ctx, run, {});
  Arena::Scope scope(*ctx.arena);
  const int64_t calls = StepCount(run);
  const int64_t steps = calls / 3 + 1;
  DpmSolver solver(ctx, run, std::min<int64_t>(calls, 3));
  const View noise = Buffer(ctx, run);
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
    Step(solver, OrderOf(i, steps, calls), t, target.t, run.x);
    const double amount = target.up * options.s_noise;
    if (amount == 0) continue;
    DrawNoise(ctx, run, i, std::exp(-t), std::exp(-t_next), amount, noise);
    Combine(ctx, run.x, {{1, run.x}, {amount, noise}});
  }
}

}  // namespace gesso
