#include "cache/depth/depth_switch.h"

#include <algorithm>

namespace gesso::cache {

void DepthSwitchOptions::Visit(OptionVisitor& visitor) {
  visitor.Integer("layers", layers, 0, 1024, "layers of late scales; 0: half of them");
  visitor.Integer("from", from, -1, 64, "first late scale; -1: the last third of the scales");
}

std::vector<bool> EquidistantLayers(int64_t depth, int64_t kept) {
  CHECK(kept >= 1 && kept <= depth);
  std::vector<bool> layers(static_cast<size_t>(depth), false);
  layers[0] = true;
  for (int64_t i = 1; i < kept; ++i) {
    // Rounded to nearest, halves up.
    const int64_t layer = (2 * i * (depth - 1) + kept - 1) / (2 * (kept - 1));
    layers[static_cast<size_t>(layer)] = true;
  }
  return layers;
}

void DepthSwitch::Begin(std::span<const TokenMap> schedule, int64_t layers) {
  const auto scales = static_cast<int64_t>(schedule.size());
  const int64_t kept = options_.layers == 0 ? (layers + 1) / 2 : options_.layers;
  Require(kept <= layers, ErrorKind::kUsage, "depth switching to {} layers, but the model has {}",
          kept, layers);
  // At least the last scale, but never the first, which all others build on.
  const int64_t late = std::max<int64_t>(scales / 3, 1);
  from_ = options_.from < 0 ? std::max<int64_t>(scales - late, 1) : options_.from;
  Require(from_ < scales, ErrorKind::kUsage,
          "depth switching from scale {} on, but the last of {} scales is {}", from_, scales,
          scales - 1);
  kept_ = EquidistantLayers(layers, kept);
  early_tokens_ = 0;
  for (int64_t scale = 0; scale + 1 < from_; ++scale) {
    early_tokens_ += schedule[static_cast<size_t>(scale)].tokens();
  }
}

std::unique_ptr<Hooks> DepthSwitch::Fork(std::span<const int64_t> /*rows*/) const {
  return std::make_unique<DepthSwitch>(*this);
}

bool DepthSwitch::RunsLayer(int64_t layer, int64_t scale) const {
  return scale < from_ || kept_[static_cast<size_t>(layer)];
}

int64_t DepthSwitch::CacheCapacity(int64_t layer, int64_t unpruned) const {
  return kept_[static_cast<size_t>(layer)] ? unpruned : early_tokens_;
}

}  // namespace gesso::cache
