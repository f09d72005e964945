// Variance-preserving processes: from a time t in 0 .. 1, which networks are told, to the noise
// level sigma = sqrt(1 - alpha^2) / alpha, by which samplers go, and back.
#pragma once

#include <cstdint>
#include <vector>

namespace gesso {

// The continuous process with beta(t) = beta_min + beta_d t: Song et al. 2021, "Score-based
// generative modeling through stochastic differential equations", appendix B.
struct VpProcess {
  double beta_d = 19.9;
  double beta_min = 0.1;

  double BetaAt(double t) const { return beta_min + beta_d * t; }
  double SigmaAt(double t) const;
  double TimeAt(double sigma) const;  // the t >= 0 with this noise level; sigma >= 0
};

// Stable Diffusion's process in kSteps steps, sqrt(beta) rising linearly, with log alpha linear in
// t between them: Lu et al. 2022, "DPM-Solver", appendix D. Official source
// LuChengTHU/dpm-solver dpm_solver_pytorch.py:NoiseScheduleVP ("discrete").
class DiscreteVp {
 public:
  static constexpr int64_t kSteps = 1000;

  // 0 < beta < 1 both; throws kUsage for others.
  explicit DiscreteVp(double beta_start = 0.00085, double beta_end = 0.012);

  // Noise level at t, 1 / kSteps at least, and back.
  double SigmaAt(double t) const;
  double TimeAt(double sigma) const;
  // alpha^2 after `step` steps, 0 .. kSteps.
  double AlphaBar(int64_t step) const;

 private:
  std::vector<double> log_alpha_;  // [kSteps]: after step 1, 2, ...
};

}  // namespace gesso
