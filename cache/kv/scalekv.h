// ScaleKV: after each scale a layer keeps the keys that a few tokens in the middle of the map look
// at most, as many as its budget allows.
//
// Li et al. 2025, "Memory-Efficient Visual Autoregressive Modeling with Scale-Aware KV Cache
// Compression". Official: StargazerX0/ScaleKV scale_kv.py:ScaleKVCluster. As in the code, not the
// paper: scores are plain dot products of unnormalised queries without rotation, max-pooled.
#pragma once

#include <optional>
#include <string_view>

#include "cache/kv/scalekv_budgets.h"
#include "kernels/core/options.h"

namespace gesso::cache {

struct ScaleKvOptions {
  int64_t window_size = 16;  // observing tokens, a square number: centres of a grid over the map
  int64_t kernel_size = 5;   // of the pooling over neighbouring keys, odd
  std::string_view pooling = "max";  // or "average"

  void Visit(OptionVisitor& visitor);
};

class ScaleKv : public Hooks {
 public:
  // Without budgets those of DefaultScaleKvBudgets are used. Throws kUsage for options out of
  // range.
  explicit ScaleKv(const ScaleKvOptions& options,
                   std::optional<ScaleKvBudgets> budgets = std::nullopt);

  // Throws kUsage where the budgets are for another number of layers.
  void Begin(std::span<const TokenMap> schedule, int64_t layers) override;
  std::unique_ptr<Hooks> Fork(std::span<const int64_t> rows) const override;
  int64_t CacheCapacity(int64_t layer, int64_t unpruned) const override;
  std::span<const int32_t> QueryTokens(const Site& site) const override;
  ConstView RetainKeys(Context& ctx, const Site& site, ConstView queries, ConstView keys) override;

 private:
  ScaleKvOptions options_;
  std::optional<ScaleKvBudgets> given_;
  ScaleKvBudgets budgets_;  // of this session
  std::vector<TokenMap> schedule_;
  std::vector<std::vector<int32_t>> windows_;  // by scale: tokens of its map, ascending
  std::vector<bool> began_;                    // by layer: its cache has exceeded base_capacity
};

}  // namespace gesso::cache
