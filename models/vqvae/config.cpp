#include "models/vqvae/config.h"

#include <algorithm>
#include <cmath>

namespace gesso::vqvae {

namespace {

// Far above any published model, low enough that no product of two of them overflows.
constexpr int64_t kMaxWidth = 1 << 14;
constexpr int64_t kMaxMultiplier = 64;
constexpr size_t kMaxLevels = 10;
constexpr int64_t kMaxBlocks = 64;
constexpr int64_t kMaxVocabulary = 1 << 22;
constexpr size_t kMaxScales = 64;
constexpr int64_t kMaxSide = 1 << 12;

// A list of 1 to `most` integers in [1, high]; `fallback` where it is absent.
std::vector<int64_t> ParseList(const Json& json, const std::string& key, size_t most, int64_t high,
                               const std::vector<int64_t>& fallback) {
  const auto items = Get<std::vector<Json>>(json, key, std::vector<Json>());
  if (items.empty() && !json.contains(key)) return fallback;
  Require(!items.empty() && items.size() <= most, ErrorKind::kConfig,
          "field '{}' has {} entries, expected 1 to {}", key, items.size(), most);
  std::vector<int64_t> list;
  for (size_t i = 0; i < items.size(); ++i) {
    list.push_back(ToInt(items[i], fmt::format("{}[{}]", key, i), 1, high));
  }
  return list;
}

// A side n of a square, or [h, w].
MapSize ParseMap(const Json& item, const std::string& name) {
  if (!item.is_array()) {
    const int64_t side = ToInt(item, name, 1, kMaxSide);
    return {side, side};
  }
  Require(item.size() == 2, ErrorKind::kConfig, "field '{}' is neither a side nor [h, w]", name);
  return {ToInt(item[0], name + "[0]", 1, kMaxSide), ToInt(item[1], name + "[1]", 1, kMaxSide)};
}

std::vector<MapSize> ParseMaps(const Json& json) {
  const std::string key = "v_patch_nums";
  const auto items =
      Get<std::vector<Json>>(json, key, std::vector<Json>{1, 2, 3, 4, 5, 6, 8, 10, 13, 16});
  Require(!items.empty() && items.size() <= kMaxScales, ErrorKind::kConfig,
          "field '{}' has {} entries, expected 1 to {}", key, items.size(), kMaxScales);
  std::vector<MapSize> maps;
  for (size_t i = 0; i < items.size(); ++i) {
    maps.push_back(ParseMap(items[i], fmt::format("{}[{}]", key, i)));
  }
  Require(std::ranges::is_sorted(maps, {}, &MapSize::height) &&
              std::ranges::is_sorted(maps, {}, &MapSize::width),
          ErrorKind::kConfig, "field '{}' is not in ascending order", key);
  return maps;
}

int64_t CountPhis(const QuantizerConfig& config, const Json& json) {
  constexpr double kNoPhi = 1e-6;
  if (config.quant_resi <= kNoPhi) return 0;
  if (config.share_quant_resi > 0) return config.share_quant_resi;
  const int64_t counts = GetInt(json, "default_qresi_counts", 0, kMaxScales, 0);
  return counts > 0 ? counts : static_cast<int64_t>(config.maps.size());
}

autoencoder::Config ParseNetwork(const Json& json, int64_t z_channels) {
  autoencoder::Config config;
  config.picture_channels = GetInt(json, "in_channels", 1, 64, 3);
  config.latent_channels = z_channels;
  config.width = GetInt(json, "ch", 1, kMaxWidth, 128);
  config.multipliers = ParseList(json, "ch_mult", kMaxLevels, kMaxMultiplier, {1, 1, 2, 2, 4});
  config.res_blocks = GetInt(json, "num_res_blocks", 1, kMaxBlocks, 2);
  config.halvings = config.levels() - 1;
  config.attention = Get<bool>(json, "using_sa", true);
  config.mid_attention = Get<bool>(json, "using_mid_sa", true);
  return config;
}

}  // namespace

int64_t QuantizerConfig::tokens() const {
  int64_t sum = 0;
  for (const MapSize& map : maps) sum += map.tokens();
  return sum;
}

QuantizerConfig ParseQuantizerConfig(const Json& json) {
  Require(json.is_object(), ErrorKind::kConfig, "the configuration is not a JSON object");
  QuantizerConfig config;
  config.vocab_size = GetInt(json, "vocab_size", 1, kMaxVocabulary, 4096);
  config.z_channels = GetInt(json, "z_channels", 1, kMaxWidth, 32);
  config.maps = ParseMaps(json);
  config.quant_resi = std::abs(GetNumber(json, "quant_resi", -1, 1, 0.5));
  config.share_quant_resi = GetInt(json, "share_quant_resi", 0, kMaxScales, 4);
  config.phi_count = CountPhis(config, json);
  config.using_znorm = Get<bool>(json, "using_znorm", false);
  return config;
}

Config ParseConfig(const Json& json) {
  Config config;
  config.quantizer = ParseQuantizerConfig(json);
  config.decoder = ParseNetwork(json, config.quantizer.z_channels);
  config.encoder = config.decoder;
  config.encoder.precision = nn::Precision::kFull;  // tokens are decided by its output
  config.quant_conv_kernel = GetInt(json, "quant_conv_ks", 1, 15, 3);
  Require(config.quant_conv_kernel % 2 == 1, ErrorKind::kConfig, "quant_conv_ks {} is not odd",
          config.quant_conv_kernel);
  return config;
}

}  // namespace gesso::vqvae
