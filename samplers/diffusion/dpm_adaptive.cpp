// DPM-Solver-12 and -23: an embedded pair of solvers estimates the error of each step, and a PID
// controller chooses the step size by it.
// Papers: Lu et al. 2022, "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling
// in around 10 steps", appendix C; Soderlind 2003, "Digital filters in adaptive time-stepping".
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:sample_dpm_adaptive,
// PIDStepSizeController.
#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/reduce.h"
#include "samplers/diffusion/dpm_solver.h"

namespace gesso {

namespace {

constexpr double kTimeSlack = 1e-5;  // t_end counts as reached this far before it
constexpr int64_t kMaxAttempts = 10000;

class StepSizeController {
 public:
  explicit StepSizeController(const DpmAdaptiveOptions& options) : h_(options.h_init) {
    const double order = options.eta > 0 ? 1.5 : static_cast<double>(options.order);
    power_[0] = (options.pcoeff + options.icoeff + options.dcoeff) / order;
    power_[1] = -(options.pcoeff + 2 * options.dcoeff) / order;
    power_[2] = options.dcoeff / order;
    safety_ = options.accept_safety;
  }

  double h() const { return h_; }

  // Takes the error of an attempt; chooses the next step size and says whether to keep this one.
  bool Accept(double error) {
    const double inverse = 1 / (error + 1e-8);
    if (!started_) inverse_[1] = inverse_[2] = inverse;
    started_ = true;
    inverse_[0] = inverse;
    double factor = 1;
    for (int i = 0; i < 3; ++i) factor *= std::pow(inverse_[i], power_[i]);
    factor = 1 + std::atan(factor - 1);  // neither too small nor too large
    const bool accepted = factor >= safety_;
    if (accepted) inverse_[2] = std::exchange(inverse_[1], inverse_[0]);
    h_ *= factor;
    return accepted;
  }

 private:
  double h_;
  double power_[3];
  double safety_;
  bool started_ = false;
  double inverse_[3] = {};  // 1 / error: this attempt, the last two kept steps
};

// x at t_next by both solvers of the pair, from the slope at t.
void SolvePair(DpmSolver& solver, int64_t order, double t, double t_next, View low, View high) {
  if (order == 2) {
    solver.CallSecond(t, t_next, 1.0 / 2);
    solver.Solve1(t, t_next, low);
    solver.Solve2(t, t_next, 1.0 / 2, high);
  } else {
    solver.CallSecond(t, t_next, 1.0 / 3);
    solver.Solve2(t, t_next, 1.0 / 3, low);
    solver.CallThird(t, t_next);
    solver.Solve3(t, t_next, 2.0 / 3, high);
  }
}

}  // namespace

void SampleDpmAdaptive(Context& ctx, const SamplerRun& run, const DpmAdaptiveOptions& options) {
  const TimeRange times = TimesOf(run.sigmas);
  if (times.end <= times.start) return SampleEuler(ctx, run, {});
  Arena::Scope scope(*ctx.arena);
  DpmSolver solver(ctx, run, options.order);
  View low = Buffer(ctx, run);
  View last_low = Buffer(ctx, run);  // of the last step that was kept
  const View high = Buffer(ctx, run);
  Combine(ctx, last_low, {{1, run.x}});
  StepSizeController controller(options);
  int64_t kept = 0;
  double t = times.start;
  for (int64_t attempt = 0; t < times.end - kTimeSlack; ++attempt) {
    Require(attempt < kMaxAttempts, ErrorKind::kUsage,
            "dpm_adaptive: the tolerances rtol {} and atol {} cannot be kept (log sigma {:.3f} "
            "after {} attempts); raise them",
            options.rtol, options.atol, -t, attempt);
    // A dry run has no error to go by and takes one step to the end.
    const bool dry = ctx.device == Device::kMeta;
    const double t_next = dry ? times.end : std::min(times.end, t + controller.h());
    const NoisyTarget target = TargetOf(t, t_next, times.end, options.eta);
    solver.Begin(t);
    Report(ctx, run,
           {.index = attempt,
            .count = 0,
            .progress = (t - times.start) / (times.end - times.start),
            .sigma = std::exp(-t),
            .x = run.x,
            .denoised = solver.denoised()});
    SolvePair(solver, options.order, t, target.t, low, high);
    double error = 0;
    ScaledError(ctx, {.a = low,
                      .b = high,
                      .reference = last_low,
                      .absolute = options.atol,
                      .relative = options.rtol,
                      .rms = &error});
    Require(std::isfinite(error), ErrorKind::kFormat,
            "dpm_adaptive: the model's output is not finite at noise level {:.4g}", std::exp(-t));
    if (!controller.Accept(error)) continue;
    std::swap(low, last_low);
    Combine(ctx, run.x, {{1, high}},
            NoiseOf(run, kept++, std::exp(-t), std::exp(-t_next), target.up * options.s_noise));
    t = t_next;
  }
}

}  // namespace gesso
