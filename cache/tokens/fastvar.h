// FastVAR, cached token pruning: late scales compute only the tokens that stand out from the rest;
// the others take what the same branch gave at an earlier scale, resized.
//
// Guo et al. 2025, "FastVAR: linear visual autoregressive modeling via cached token pruning".
// Official: csguoh/FastVAR Infinity/infinity/models/fastvar_utils.py, fastvar_basic.py.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "kernels/core/options.h"
#include "models/hooks.h"

namespace gesso::cache {

// What happens at which scale and layer.
struct FastVarPlan {
  int64_t cached_scale = 0;         // whose branches fill in for pruned tokens
  std::vector<double> prune_ratio;  // share of the tokens dropped at each scale, 0: none
  std::vector<bool> skipped;        // scales that are not computed at all
  int64_t first_layer = 0;          // layers first_layer .. end_layer - 1 prune
  int64_t end_layer = 0;
};

// A plan in terms that fit every schedule. The defaults are the publication's, carried over: of the
// last two scales that run, a map of 32 x 32 drops 0.4 of its tokens, one of 40 x 40 and more 0.5,
// those between in proportion, and of 24 x 24 and less none, because what fills in harms small
// pictures; maps of 48 x 48 tokens and more are skipped; of 32 layers the first three and the last
// four prune nothing (in proportion for others).
struct FastVarOptions {
  int64_t scales = 2;
  double first_ratio = -1;
  double last_ratio = -1;
  int64_t cached = -1;
  int64_t skip = -1;
  int64_t first_layer = -1;
  int64_t end_layer = -1;

  void Visit(OptionVisitor& visitor);
};

// Throws kUsage where the options do not fit the schedule or the number of layers, and where the
// defaults leave maps so small that nothing would be dropped.
FastVarPlan PlanFastVar(const FastVarOptions& options, std::span<const TokenMap> schedule,
                        int64_t layers);

class FastVar : public Hooks {
 public:
  explicit FastVar(const FastVarOptions& options) : options_(options) {}
  explicit FastVar(FastVarPlan plan) : plan_(std::move(plan)) {}

  // Throws kUsage for a plan or options that do not fit.
  void Begin(std::span<const TokenMap> schedule, int64_t layers) override;
  std::unique_ptr<Hooks> Fork(std::span<const int64_t> rows) const override;
  bool RunsScale(int64_t scale) const override;
  ConstView SelectTokens(Context& ctx, const Site& site, ConstView x) override;
  void AddSelected(Context& ctx, const Site& site, ConstView tokens, ConstView computed,
                   View x) override;
  bool WantsBranch(const Site& site) const override;
  // Shows it as "cache_block<layer>_<branch>".
  void SeeBranch(Context& ctx, const Site& site, ConstView added) override;
  int64_t CacheCapacity(int64_t layer, int64_t unpruned) const override;

 private:
  bool Prunes(int64_t layer) const;
  Tensor& CachedBranch(const Site& site);

  std::optional<FastVarOptions> options_;
  FastVarPlan plan_;
  std::vector<TokenMap> schedule_;
  std::vector<std::array<Tensor, 3>> branches_;  // of each layer at the cached scale [R, N, C]
};

}  // namespace gesso::cache
