#include "samplers/sampler.h"

namespace gesso {

namespace {

constexpr double kLargestSigma = 1e37;  // that times a sample of noise is f32

}  // namespace

void CheckSigmas(std::span<const double> sigmas) {
  Require(sigmas.size() >= 2, ErrorKind::kUsage,
          "a schedule needs two noise levels or more, got {}", sigmas.size());
  for (size_t i = 0; i < sigmas.size(); ++i) {
    const bool last = i + 1 == sigmas.size();
    const bool in_range = sigmas[i] <= kLargestSigma && (last ? sigmas[i] >= 0 : sigmas[i] > 0);
    Require(in_range, ErrorKind::kUsage,
            "noise level {} of the schedule is {:.4g}; levels are positive, up to {:.4g}, and only "
            "the last may be 0",
            i, sigmas[i], kLargestSigma);
    Require(i == 0 || sigmas[i] < sigmas[i - 1], ErrorKind::kUsage,
            "noise level {} of the schedule ({}) is not below the one before it ({})", i, sigmas[i],
            i == 0 ? 0 : sigmas[i - 1]);
  }
}

}  // namespace gesso
