#include "models/bsq_vae/config.h"

#include <bit>
#include <cmath>

namespace gesso::bsq_vae {

namespace {

// Far above any published model, low enough that no product of two of them overflows.
constexpr int64_t kMaxWidth = 1 << 14;
constexpr int64_t kMaxMultiplier = 64;
constexpr size_t kMaxLevels = 10;
constexpr int64_t kMaxBlocks = 64;
constexpr int64_t kMaxBits = 1024;
constexpr size_t kMaxScales = 64;
constexpr int64_t kMaxSide = 1 << 14;

std::vector<int64_t> ParseMultipliers(const Json& json, const std::string& key) {
  const auto items = Get<std::vector<Json>>(json, key);
  Require(!items.empty() && items.size() <= kMaxLevels, ErrorKind::kConfig,
          "field '{}' has {} entries, expected 1 to {}", key, items.size(), kMaxLevels);
  std::vector<int64_t> list;
  for (size_t i = 0; i < items.size(); ++i) {
    list.push_back(ToInt(items[i], fmt::format("{}[{}]", key, i), 1, kMaxMultiplier));
  }
  return list;
}

// The official code has more variants than there are checkpoints.
void CheckVariant(const Json& json) {
  const auto text = [&](const std::string& key, const std::string& known) {
    const auto value = Get<std::string>(json, key, known);
    Require(value == known, ErrorKind::kUnsupported, "{} '{}' is not supported ({})", key, value,
            known);
  };
  const auto flag = [&](const std::string& key, bool known) {
    Require(Get<bool>(json, key, known) == known, ErrorKind::kUnsupported,
            "{} = {} is not supported", key, !known);
  };
  text("tokenizer", "flux");
  text("quantizer_type", "MultiScaleBSQ");
  text("cnn_type", "2d");
  text("cnn_attention", "no");
  text("norm_type", "group");
  flag("new_quant", true);
  flag("use_vae", false);
  flag("use_out_phi", false);
  flag("use_pxsf", false);
  flag("use_decay_factor", false);
  flag("ln_before_quant", false);
}

void CheckCodebookSize(const Json& json, int64_t bits) {
  const auto size = Get<double>(json, "codebook_size", std::ldexp(1.0, static_cast<int>(bits)));
  Require(size == std::ldexp(1.0, static_cast<int>(bits)), ErrorKind::kConfig,
          "codebook_size {} is not 2 to the power of codebook_dim {}", size, bits);
}

autoencoder::Config ParseNetwork(const Json& json, const std::string& multipliers, int64_t bits) {
  autoencoder::Config config;
  config.picture_channels = GetInt(json, "image_channels", 1, 64, 3);
  config.latent_channels = bits;
  config.width = GetInt(json, "base_ch", 1, kMaxWidth, 128);
  config.multipliers = ParseMultipliers(json, multipliers);
  config.res_blocks = GetInt(json, "num_res_blocks", 1, kMaxBlocks, 2);
  const int64_t patch = GetInt(json, "patch_size", 1, int64_t{1} << kMaxLevels);
  Require(std::has_single_bit(static_cast<uint64_t>(patch)), ErrorKind::kConfig,
          "patch_size {} is no power of two", patch);
  config.halvings = std::countr_zero(static_cast<uint64_t>(patch));
  Require(config.halvings < config.levels(), ErrorKind::kConfig,
          "patch_size {} needs {} levels, '{}' has {}", patch, config.halvings + 1, multipliers,
          config.levels());
  config.other_groups = 24;
  config.conv_name = "conv.";
  config.norm_name = "norm.";
  return config;
}

}  // namespace

Config ParseConfig(const Json& json) {
  Require(json.is_object(), ErrorKind::kConfig, "the configuration is not a JSON object");
  CheckVariant(json);
  Config config;
  config.codebook_dim = GetInt(json, "codebook_dim", 1, kMaxBits);
  CheckCodebookSize(json, config.codebook_dim);
  config.encoder = ParseNetwork(json, "encoder_ch_mult", config.codebook_dim);
  config.encoder.precision = nn::Precision::kFull;  // bits are decided by its output
  config.decoder = ParseNetwork(json, "decoder_ch_mult", config.codebook_dim);
  return config;
}

std::vector<MapSize> ParseSchedule(const Json& json, const std::string& key) {
  const auto items = Get<std::vector<Json>>(json, key);
  Require(!items.empty() && items.size() <= kMaxScales, ErrorKind::kConfig,
          "field '{}' has {} entries, expected 1 to {}", key, items.size(), kMaxScales);
  std::vector<MapSize> maps;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string item = fmt::format("{}[{}]", key, i);
    Require(items[i].is_array() && items[i].size() == 3, ErrorKind::kConfig, "{} is not [t, h, w]",
            item);
    ToInt(items[i][0], item + "[0]", 1, 1);
    maps.push_back({ToInt(items[i][1], item + "[1]", 1, kMaxSide),
                    ToInt(items[i][2], item + "[2]", 1, kMaxSide)});
  }
  return maps;
}

}  // namespace gesso::bsq_vae
