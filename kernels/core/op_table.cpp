#include "kernels/core/op_table.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>

namespace gesso {

namespace {

// Set once by the command line before anything runs; read-only afterwards.
std::map<std::string, std::string, std::less<>>& Forced() {
  static std::map<std::string, std::string, std::less<>> forced;
  return forced;
}

constexpr std::array<std::string_view, 20> kOps = {"linear",         "linear_glu",
                                                   "conv2d",         "rms_norm",
                                                   "layer_norm",     "glu",
                                                   "attention",      "window_attention",
                                                   "rope",           "elementwise",
                                                   "space_depth",    "neighborhood_attention",
                                                   "gather_rows",    "fourier_features",
                                                   "deviation",      "scaled_error",
                                                   "masked_mean",    "causal_conv1d",
                                                   "selective_scan", "ssd"};

}  // namespace

std::string_view ForcedImplementation(std::string_view op) {
  const auto found = Forced().find(op);
  return found == Forced().end() ? std::string_view{} : std::string_view(found->second);
}

void ForceImplementation(std::string_view op, std::string_view implementation) {
  Require(std::ranges::find(kOps, op) != kOps.end(), ErrorKind::kUsage,
          "--kernel: there is no op '{}' (ops: {})", op, fmt::join(kOps, ", "));
  Forced()[std::string(op)] = implementation;
}

}  // namespace gesso
