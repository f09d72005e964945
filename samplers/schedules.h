// Schedules: which noise levels a sampler visits. Pure functions, in double.
// Official source crowsonkb/k-diffusion k_diffusion/sampling.py:get_sigmas_*.
#pragma once

#include <cstdint>
#include <vector>

namespace gesso {

// Each returns n + 1 noise levels: n decreasing ones from sigma_max to sigma_min (both exact;
// n = 1 gives sigma_max alone) and a 0 at the end. Throws kUsage unless 1 <= n <= kMaxSteps and
// 0 < sigma_min < sigma_max.
constexpr int64_t kMaxSteps = 10000;

// Equal steps in sigma^(1/rho): Karras et al. 2022, equation 5.
std::vector<double> KarrasSigmas(int64_t n, double sigma_min, double sigma_max, double rho = 7);
// Equal steps in log sigma.
std::vector<double> ExponentialSigmas(int64_t n, double sigma_min, double sigma_max);
// Log sigma falls as a polynomial of degree rho; rho = 1 is the exponential schedule.
std::vector<double> PolyexponentialSigmas(int64_t n, double sigma_min, double sigma_max,
                                          double rho = 1);
// The continuous variance-preserving process (Song et al. 2021) at equal steps in its time, from 1
// to eps_s; the noise levels follow from beta_d and beta_min.
std::vector<double> VpSigmas(int64_t n, double beta_d = 19.9, double beta_min = 0.1,
                             double eps_s = 1e-3);

// Stable Diffusion's variance-preserving process (vp_process.h) at equal steps in its time, from 1
// to 1/1000.
std::vector<double> TimeUniformSigmas(int64_t n, double beta_start = 0.00085,
                                      double beta_end = 0.012);

// The density of noise levels that training draws from, "cosine-interpolated": between two shifted
// cosine schedules (Hoogeboom et al. 2023, "Simple diffusion", section 3.1) as an inverse
// cumulative distribution. Official source k_diffusion/utils.py:rand_cosine_interpolated.
struct CosineInterpolated {
  double image_d;       // side of the pictures trained on
  double noise_d_low;   // side whose cosine schedule rules the noisy end
  double noise_d_high;  // ... and the clean end
  double sigma_data;
  double min_value;  // the smallest and the largest noise level
  double max_value;

  // The noise level at u in [0, 1]: 0 is the noisy end, max_value; 1 the clean end, min_value.
  double SigmaAt(double u) const;
};

}  // namespace gesso
