#include "models/bidim/config.h"

namespace gesso::bidim {

namespace {

constexpr int64_t kMaxWidth = 1 << 15;
constexpr int64_t kMaxDepth = 256;
constexpr int64_t kMaxChannels = 1 << 10;
constexpr int64_t kMaxClasses = 1 << 24;
constexpr int64_t kMaxPatch = 64;

ScanOrder ParseOrder(const std::string& name) {
  if (name == "spatial_first") return ScanOrder::kSpatialFirst;
  Require(name == "temporal_first", ErrorKind::kConfig,
          "field 'scan_orders': '{}' is neither spatial_first nor temporal_first", name);
  return ScanOrder::kTemporalFirst;
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
  config.num_classes = GetInt(json, "num_classes", 1, kMaxClasses);
  const auto patch = Get<std::vector<int64_t>>(json, "patch_size");
  Require(patch.size() == 3, ErrorKind::kConfig,
          "field 'patch_size' must be [frames, height, width]");
  for (const int64_t side : patch) {
    Require(side >= 1 && side <= kMaxPatch, ErrorKind::kConfig,
            "field 'patch_size': a side of {} is not in 1 to {}", side, kMaxPatch);
  }
  config.patch_frames = patch[0];
  config.patch_height = patch[1];
  config.patch_width = patch[2];
  for (const std::string& name : Get<std::vector<std::string>>(json, "scan_orders")) {
    config.scan_orders.push_back(ParseOrder(name));
  }
  Require(!config.scan_orders.empty(), ErrorKind::kConfig, "field 'scan_orders' is empty");
  config.mixer = mamba::ParseMambaConfig(json, config.width);
  return config;
}

}  // namespace gesso::bidim
