#include "models/mamba/config.h"

namespace gesso::mamba {

namespace {

constexpr int64_t kMaxWidth = 1 << 15;
constexpr int64_t kMaxExpand = 16;
constexpr int64_t kMaxStates = 1 << 12;
constexpr int64_t kMaxTaps = 64;

void ParseSize(const Json& json, int64_t width, int64_t states, BlockSize& size) {
  Require(width >= 1 && width <= kMaxWidth, ErrorKind::kConfig,
          "a Mamba block cannot be {} channels wide", width);
  size.width = width;
  size.inner = GetInt(json, "expand", 1, kMaxExpand, 2) * width;
  size.states = GetInt(json, "d_state", 1, kMaxStates, states);
  size.taps = GetInt(json, "d_conv", 1, kMaxTaps, 4);
  size.bias = Get<bool>(json, "bias", false);
  size.conv_bias = Get<bool>(json, "conv_bias", true);
}

// A number or "auto".
int64_t ParseRank(const Json& json, int64_t width) {
  const auto found = json.find("dt_rank");
  const bool automatic = found == json.end() || found->is_null() || *found == "auto";
  return automatic ? (width + 15) / 16 : ToInt(*found, "dt_rank", 1, kMaxWidth);
}

// Refuses what the official block can do beyond what is computed here.
void CheckVariant(const Json& json, const Mamba2Config& config) {
  Require(Get<int64_t>(json, "d_ssm", config.inner) == config.inner, ErrorKind::kUnsupported,
          "field 'd_ssm': a scan over a part of the {} inner channels is not supported",
          config.inner);
  // Infinity is no number of JSON.
  const auto limit = Get<std::vector<Json>>(json, "dt_limit", std::vector<Json>{0, nullptr});
  const bool is_open = limit.size() == 2 && limit[0].is_number() && limit[0] <= 0 &&
                       (limit[1].is_null() || limit[1] == "inf" || limit[1] == "Infinity");
  Require(is_open, ErrorKind::kUnsupported,
          "field 'dt_limit': only [0, null], no limits, is supported");
}

}  // namespace

MambaConfig ParseMambaConfig(const Json& json, int64_t width) {
  MambaConfig config;
  ParseSize(json, width, 16, config);
  config.dt_rank = ParseRank(json, width);
  return config;
}

Mamba2Config ParseMamba2Config(const Json& json, int64_t width) {
  Mamba2Config config;
  ParseSize(json, width, 128, config);
  config.head_dim = GetInt(json, "headdim", 1, kMaxWidth, 64);
  Require(config.inner % config.head_dim == 0, ErrorKind::kConfig,
          "field 'headdim': {} does not divide the {} inner channels", config.head_dim,
          config.inner);
  config.groups = GetInt(json, "ngroups", 1, kMaxWidth, 1);
  Require(config.heads() % config.groups == 0, ErrorKind::kConfig,
          "field 'ngroups': {} does not divide the {} heads", config.groups, config.heads());
  config.skip_has_head_dim = Get<bool>(json, "D_has_hdim", false);
  config.norm_before_gate = Get<bool>(json, "norm_before_gate", false);
  config.has_norm = Get<bool>(json, "rmsnorm", true);
  CheckVariant(json, config);
  return config;
}

}  // namespace gesso::mamba
