#include "models/dim/config.h"

#include <algorithm>

namespace gesso::dim {

namespace {

constexpr int64_t kMaxWidth = 1 << 15;
constexpr int64_t kMaxLayers = 511;
constexpr int64_t kMaxChannels = 1 << 10;
constexpr int64_t kMaxClasses = 1 << 24;
constexpr int64_t kMaxSide = 1 << 12;
constexpr int64_t kMaxPads = 64;

void RequireTrue(const Json& json, const std::string& key) {
  Require(Get<bool>(json, key, true), ErrorKind::kUnsupported,
          "field '{}': only true is supported, as in the official configurations", key);
}

Padding ParsePadding(const Json& json) {
  const auto schedules =
      Get<std::vector<std::string>>(json, "pad_token_schedules", {"dec_split", "lateral"});
  const auto has = [&](const std::string& name) {
    return std::ranges::find(schedules, name) != schedules.end();
  };
  Require(schedules.size() == 2 && has("dec_split") && (has("lateral") || has("rho_pad")),
          ErrorKind::kUnsupported,
          "field 'pad_token_schedules': only dec_split with lateral or rho_pad is supported");
  return has("lateral") ? Padding::kLateral : Padding::kRho;
}

std::optional<SkipTune> ParseSkipTune(const Json& json) {
  if (!Get<bool>(json, "is_skip_tune", false)) return std::nullopt;
  const auto values = Get<std::vector<double>>(json, "skip_tune_param", {0.82, 1.0});
  Require(values.size() == 2, ErrorKind::kConfig, "field 'skip_tune_param' must have two numbers");
  return SkipTune{.low = values[0], .high = values[1]};
}

}  // namespace

int64_t Config::ScanOrder(int64_t layer) const {
  if (layer < encoder_start || layer == layers - 1) return 0;
  const int64_t middle = encoder_start + (layers - encoder_start) / 2;
  int64_t order = 0;
  for (int64_t l = encoder_start; l <= layer; ++l) {
    order = (order + (l < middle ? 1 : scan_patterns - 1)) % scan_patterns;
  }
  return order;
}

double Config::SkipFactor(int64_t i) const {
  if (!skip_tune) return 1;
  // The official code takes a time of 1/1000 at every step.
  const double last = skip_tune->high + (skip_tune->low - skip_tune->high) * 0.001;
  const int64_t steps = std::max<int64_t>(skips() - 1, 1);
  const double share = static_cast<double>(i) / static_cast<double>(steps);
  return skip_tune->high + share * (last - skip_tune->high);
}

Config ParseConfig(const Json& json) {
  for (const char* key :
       {"rms", "is_uconnect", "use_pad_token", "use_a4m_adapter", "is_extra_tokens", "no_ff"}) {
    RequireTrue(json, key);
  }
  Require(Get<std::string>(json, "pos_encoding_type", "learnable") == "learnable" &&
              Get<std::string>(json, "mamba_type", "enc") == "enc" &&
              !Get<bool>(json, "is_freeu", false),
          ErrorKind::kUnsupported,
          "only learnable positions, mamba_type 'enc' and no FreeU are supported");
  Config config;
  config.width = GetInt(json, "num_attention_heads", 1, kMaxWidth) *
                 GetInt(json, "attention_head_dim", 1, kMaxWidth);
  Require(config.width <= kMaxWidth && config.width % 2 == 0, ErrorKind::kConfig,
          "a width of {} (num_attention_heads * attention_head_dim) is odd or too large",
          config.width);
  config.layers = GetInt(json, "num_layers", 1, kMaxLayers);
  Require(config.layers % 2 == 1, ErrorKind::kConfig, "field 'num_layers': {} is not odd",
          config.layers);
  config.in_channels = GetInt(json, "in_channels", 1, kMaxChannels);
  config.out_channels = GetInt(json, "out_channels", 1, kMaxChannels, config.in_channels);
  config.patch = GetInt(json, "patch_size", 1, kMaxSide, 2);
  const int64_t sample = GetInt(json, "sample_size", 1, kMaxSide);
  Require(sample % config.patch == 0, ErrorKind::kConfig,
          "field 'sample_size': patches of {} do not divide {}", config.patch, sample);
  config.side = sample / config.patch;
  config.num_classes = GetInt(json, "num_embeds_ada_norm", 1, kMaxClasses);
  config.scan_patterns = GetInt(json, "scan_pattern_len", 0, 3, 3) + 1;
  config.encoder_start = GetInt(json, "encoder_start_blk_id", 0, config.layers, 1);
  Require(config.encoder_start % 2 == 1, ErrorKind::kConfig,
          "field 'encoder_start_blk_id': {} leaves an odd number of the {} layers",
          config.encoder_start, config.layers);
  config.padding = ParsePadding(json);
  config.skip_split = Get<bool>(json, "skip_split", config.width > 512);
  config.skip_tune = ParseSkipTune(json);
  const Json mixer = {{"d_state", Get<Json>(json, "mamba_d_state", 16)},
                      {"d_conv", Get<Json>(json, "mamba_d_conv", 3)},
                      {"expand", Get<Json>(json, "mamba_expand", 2)}};
  config.mixer = mamba::ParseMambaConfig(mixer, config.width);
  config.pads = GetInt(json, "pad_token_len", 1, kMaxPads, config.mixer.taps);
  return config;
}

}  // namespace gesso::dim
