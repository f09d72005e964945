#include "samplers/vp_process.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"

namespace gesso {

double VpProcess::SigmaAt(double t) const {
  return std::sqrt(std::expm1(t * (beta_d * t / 2 + beta_min)));
}

double VpProcess::TimeAt(double sigma) const {
  // beta_d / 2 t^2 + beta_min t = log(1 + sigma^2), in the form that loses no digits near 0.
  const double level = std::log1p(sigma * sigma);
  return 2 * level / (beta_min + std::sqrt(beta_min * beta_min + 2 * beta_d * level));
}

DiscreteVp::DiscreteVp(double beta_start, double beta_end) {
  const auto is_rate = [](double beta) { return beta > 0 && beta < 1; };
  Require(is_rate(beta_start) && is_rate(beta_end), ErrorKind::kUsage,
          "noise rates must be between 0 and 1, not {} and {}", beta_start, beta_end);
  const double first = std::sqrt(beta_start);
  const double last = std::sqrt(beta_end);
  double log_alpha = 0;
  for (int64_t i = 0; i < kSteps; ++i) {
    const double root =
        first + (last - first) * static_cast<double>(i) / static_cast<double>(kSteps - 1);
    log_alpha += std::log1p(-root * root) / 2;
    log_alpha_.push_back(log_alpha);
  }
}

double DiscreteVp::SigmaAt(double t) const {
  const double place = t * static_cast<double>(kSteps) - 1;
  const auto before = std::clamp<int64_t>(static_cast<int64_t>(place), 0, kSteps - 2);
  const double share = place - static_cast<double>(before);
  const double low = log_alpha_[static_cast<size_t>(before)];
  const double high = log_alpha_[static_cast<size_t>(before) + 1];
  return std::sqrt(std::expm1(-2 * (low + share * (high - low))));
}

double DiscreteVp::TimeAt(double sigma) const {
  const double log_alpha = -std::log1p(sigma * sigma) / 2;
  const auto behind = std::ranges::lower_bound(log_alpha_, log_alpha, std::ranges::greater{});
  const auto before = std::clamp<int64_t>(behind - log_alpha_.begin() - 1, 0, kSteps - 2);
  const double low = log_alpha_[static_cast<size_t>(before)];
  const double high = log_alpha_[static_cast<size_t>(before) + 1];
  const double place = static_cast<double>(before) + (log_alpha - low) / (high - low);
  return (place + 1) / static_cast<double>(kSteps);
}

double DiscreteVp::AlphaBar(int64_t step) const {
  CHECK(step >= 0 && step <= kSteps);
  return step == 0 ? 1 : std::exp(2 * log_alpha_[static_cast<size_t>(step) - 1]);
}

}  // namespace gesso
