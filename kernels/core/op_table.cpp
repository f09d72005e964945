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

constexpr auto kOps = std::to_array<std::string_view>({"linear",
                                                       "linear_glu",
                                                       "conv2d",
                                                       "rms_norm",
                                                       "layer_norm",
                                                       "glu",
                                                       "attention",
                                                       "window_attention",
                                                       "rope",
                                                       "elementwise",
                                                       "space_depth",
                                                       "neighborhood_attention",
                                                       "gather_rows",
                                                       "fourier_features",
                                                       "match_deviation",
                                                       "scaled_error",
                                                       "masked_mean",
                                                       "causal_conv1d",
                                                       "selective_scan",
                                                       "ssd",
                                                       "activate",
                                                       "sign_bits",
                                                       "bit_codes",
                                                       "fade_in",
                                                       "gated_add",
                                                       "group_norm",
                                                       "prepare_heads",
                                                       "nearest_code",
                                                       "resize",
                                                       "sample_tokens",
                                                       "gumbel_softmax",
                                                       "select_tokens",
                                                       "token_distance",
                                                       "top_tokens",
                                                       "hold"});

}  // namespace

std::string_view ForcedImplementation(std::string_view op) {
  const auto found = Forced().find(op);
  return found == Forced().end() ? std::string_view{} : std::string_view(found->second);
}

bool IsForcedElsewhere(std::string_view op, std::string_view implementation) {
  const std::string_view forced = ForcedImplementation(op);
  return !forced.empty() && forced != implementation;
}

void ForceImplementation(std::string_view op, std::string_view implementation) {
  Require(std::ranges::find(kOps, op) != kOps.end(), ErrorKind::kUsage,
          "--kernel: there is no op '{}' (ops: {})", op, fmt::join(kOps, ", "));
  Forced()[std::string(op)] = implementation;
}

}  // namespace gesso
