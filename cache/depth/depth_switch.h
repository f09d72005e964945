// Depth switching: late scales, which hold most of the tokens, run through an equidistant part of
// the layers. For models trained to stand it.
//
// Chen et al. 2025, "Progressive supernet training for efficient visual autoregressive modeling"
// (VARiant), whose published setting is the default: the first seven of ten scales at full depth.
#pragma once

#include <vector>

#include "kernels/core/options.h"
#include "models/hooks.h"

namespace gesso::cache {

struct DepthSwitchOptions {
  int64_t layers = 0;
  int64_t from = -1;

  void Visit(OptionVisitor& visitor);
};

// Layers round(i (depth - 1) / (kept - 1)), i < kept: the first, the last, and between them as
// evenly as can be; of a single one the first. 1 <= kept <= depth.
std::vector<bool> EquidistantLayers(int64_t depth, int64_t kept);

class DepthSwitch : public Hooks {
 public:
  explicit DepthSwitch(const DepthSwitchOptions& options) : options_(options) {}

  // Throws kUsage where the options do not fit the model.
  void Begin(std::span<const TokenMap> schedule, int64_t layers) override;
  std::unique_ptr<Hooks> Fork(std::span<const int64_t> rows) const override;
  bool RunsLayer(int64_t layer, int64_t scale) const override;
  int64_t CacheCapacity(int64_t layer, int64_t unpruned) const override;

 private:
  DepthSwitchOptions options_;
  int64_t from_ = 0;
  int64_t early_tokens_ = 0;  // that layers keep which from_ leaves out: of all scales that they
                              // run but the last
  std::vector<bool> kept_;    // by layer
};

}  // namespace gesso::cache
