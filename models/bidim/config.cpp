#include "models/bidim/config.h"

namespace gesso::bidim {

namespace {

constexpr int64_t kMaxWidth = 1 << 15;
constexpr int64_t kMaxDepth = 256;
constexpr int64_t kMaxChannels = 1 << 10;
constexpr int64_t kMaxClasses = 1 << 24;
constexpr int64_t kMaxPatch = 64;
constexpr int64_t kMaxSide = 1 << 14;
constexpr int64_t kMaxTextTokens = 1 << 12;
constexpr int64_t kTextTokens = 32;  // where the config is silent

ScanOrder ParseOrder(const std::string& name) {
  if (name == "spatial_first") return ScanOrder::kSpatialFirst;
  Require(name == "temporal_first", ErrorKind::kConfig,
          "field 'scan_orders': '{}' is neither spatial_first nor temporal_first", name);
  return ScanOrder::kTemporalFirst;
}

TextConfig ParseText(const Json& json) {
  Require(json.is_object(), ErrorKind::kConfig, "field 'text' must be a JSON object");
  return {.dim = GetInt(json, "dim", 1, kMaxWidth),
          .tokens = GetInt(json, "tokens", 1, kMaxTextTokens, kTextTokens)};
}

// Field `name` = [frames, height, width], each at most `most`.
std::vector<int64_t> ParseSides(const Json& json, const std::string& name, int64_t most) {
  const auto sides = Get<std::vector<int64_t>>(json, name);
  Require(sides.size() == 3, ErrorKind::kConfig, "field '{}' must be [frames, height, width]",
          name);
  for (const int64_t side : sides) {
    Require(side >= 1 && side <= most, ErrorKind::kConfig,
            "field '{}': a side of {} is not in 1 to {}", name, side, most);
  }
  return sides;
}

}  // namespace

Config ParseConfig(const Json& json) {
  Config config;
  config.width = GetInt(json, "hidden_size", 4, kMaxWidth);
  Require(config.width % 4 == 0, ErrorKind::kConfig,
          "field 'hidden_size': {} is not a multiple of 4, which the positions need", config.width);
  config.depth = GetInt(json, "depth", 1, kMaxDepth);
  config.in_channels = GetInt(json, "in_channels", 1, kMaxChannels);
  config.out_channels = config.in_channels * (Get<bool>(json, "learn_sigma", true) ? 2 : 1);
  if (const Json text = Get<Json>(json, "text", Json()); !text.is_null()) {
    config.text = ParseText(text);
  } else {
    config.num_classes = GetInt(json, "num_classes", 1, kMaxClasses);
  }
  const std::vector<int64_t> patch = ParseSides(json, "patch_size", kMaxPatch);
  config.patch_frames = patch[0];
  config.patch_height = patch[1];
  config.patch_width = patch[2];
  if (json.contains("input_size")) {
    const std::vector<int64_t> input = ParseSides(json, "input_size", kMaxSide);
    config.input_frames = input[0];
    config.input_height = input[1];
    config.input_width = input[2];
  }
  for (const std::string& name : Get<std::vector<std::string>>(json, "scan_orders")) {
    config.scan_orders.push_back(ParseOrder(name));
  }
  Require(!config.scan_orders.empty(), ErrorKind::kConfig, "field 'scan_orders' is empty");
  config.mixer = mamba::ParseMambaConfig(json, config.width);
  return config;
}

}  // namespace gesso::bidim
