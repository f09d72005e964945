#include "samplers/schedules.h"

#include <cmath>

#include "kernels/core/error.h"
#include "samplers/vp_process.h"

namespace gesso {

namespace {

void CheckSteps(int64_t n) {
  Require(n >= 1 && n <= kMaxSteps, ErrorKind::kUsage,
          "the number of steps must be 1 .. {}, not {}", kMaxSteps, n);
}

void CheckRange(double sigma_min, double sigma_max) {
  Require(sigma_min > 0 && sigma_min < sigma_max && std::isfinite(sigma_max), ErrorKind::kUsage,
          "noise levels must run from a larger to a smaller positive number, not from {} to {}",
          sigma_max, sigma_min);
}

// at(0), ..., at(1) in n equal steps of its argument, and 0.
template <class SigmaAt>
std::vector<double> Levels(int64_t n, const SigmaAt& at) {
  std::vector<double> sigmas;
  sigmas.reserve(static_cast<size_t>(n) + 1);
  for (int64_t i = 0; i < n; ++i) {
    sigmas.push_back(at(n == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(n - 1)));
  }
  sigmas.push_back(0);
  return sigmas;
}

// As Levels, with both ends free of rounding.
template <class SigmaAt>
std::vector<double> LevelsBetween(int64_t n, double sigma_min, double sigma_max,
                                  const SigmaAt& at) {
  CheckSteps(n);
  CheckRange(sigma_min, sigma_max);
  std::vector<double> sigmas = Levels(n, at);
  sigmas.front() = sigma_max;
  if (n > 1) sigmas[static_cast<size_t>(n) - 1] = sigma_min;
  return sigmas;
}

}  // namespace

std::vector<double> KarrasSigmas(int64_t n, double sigma_min, double sigma_max, double rho) {
  const double low = std::pow(sigma_min, 1 / rho);
  const double high = std::pow(sigma_max, 1 / rho);
  return LevelsBetween(n, sigma_min, sigma_max,
                       [&](double s) { return std::pow(high + s * (low - high), rho); });
}

std::vector<double> ExponentialSigmas(int64_t n, double sigma_min, double sigma_max) {
  return PolyexponentialSigmas(n, sigma_min, sigma_max, 1);
}

std::vector<double> PolyexponentialSigmas(int64_t n, double sigma_min, double sigma_max,
                                          double rho) {
  const double range = std::log(sigma_max / sigma_min);
  return LevelsBetween(n, sigma_min, sigma_max, [&](double s) {
    return sigma_min * std::exp(std::pow(1 - s, rho) * range);
  });
}

std::vector<double> VpSigmas(int64_t n, double beta_d, double beta_min, double eps_s) {
  CheckSteps(n);
  Require(eps_s > 0 && eps_s < 1 && beta_d >= 0 && beta_min >= 0 && beta_d + beta_min > 0,
          ErrorKind::kUsage, "vp: no schedule with beta_d {}, beta_min {}, eps_s {}", beta_d,
          beta_min, eps_s);
  const VpProcess process{.beta_d = beta_d, .beta_min = beta_min};
  return Levels(n, [&](double s) { return process.SigmaAt(1 + s * (eps_s - 1)); });
}

std::vector<double> TimeUniformSigmas(int64_t n, double beta_start, double beta_end) {
  CheckSteps(n);
  const DiscreteVp process(beta_start, beta_end);
  constexpr double kLast = 1.0 / static_cast<double>(DiscreteVp::kSteps);
  return Levels(n, [&](double s) { return process.SigmaAt(1 + s * (kLast - 1)); });
}

double CosineInterpolated::SigmaAt(double u) const {
  // log(sigma / sigma_data) at u of the cosine schedule for pictures of side noise_d, shifted to
  // image_d: the tangent of an angle that falls linearly.
  const auto log_level = [&](double noise_d) {
    const double shift = noise_d / image_d;
    const double first = std::atan(shift * max_value / sigma_data);
    const double last = std::atan(shift * min_value / sigma_data);
    return std::log(std::tan(first + u * (last - first)) / shift);
  };
  return sigma_data * std::exp((1 - u) * log_level(noise_d_low) + u * log_level(noise_d_high));
}

}  // namespace gesso
