#include "cache/tokens/fastvar.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/core/select.h"
#include "kernels/elementwise.h"
#include "kernels/resize.h"
#include "kernels/token.h"
#include "kernels/token_pruning.h"

namespace gesso::cache {

namespace {

constexpr int64_t kMaxScales = 64;
constexpr int64_t kMaxLayers = 1024;

// Truncated as in the official code, which decides how many tokens stay.
int64_t KeptTokens(int64_t tokens, double ratio) {
  return tokens - static_cast<int64_t>(static_cast<double>(tokens) * ratio);
}

// The share that a map drops by default.
double PublishedRatio(const TokenMap& map) {
  constexpr double kWhole = 24 * 24;  // drops none
  constexpr double kSmall = 32 * 32;  // 0.4
  constexpr double kLarge = 40 * 40;  // 0.5
  const auto tokens = static_cast<double>(map.tokens());
  if (tokens <= kWhole) return 0;
  if (tokens <= kSmall) return 0.4 * (tokens - kWhole) / (kSmall - kWhole);
  return std::min(0.4 + 0.1 * (tokens - kSmall) / (kLarge - kSmall), 0.5);
}

// `published` of 32 layers, in proportion.
int64_t LayersLike(int64_t published, int64_t layers) {
  const double share = static_cast<double>(published) / 32;
  return static_cast<int64_t>(std::round(share * static_cast<double>(layers)));
}

// Scales at the end whose maps are too large to be computed, as the publication has it.
int64_t SkippedByDefault(std::span<const TokenMap> schedule) {
  constexpr int64_t kLargest = 48 * 48;
  return std::ranges::count_if(schedule,
                               [](const TokenMap& map) { return map.tokens() >= kLargest; });
}

void CheckPlan(const FastVarPlan& plan, std::span<const TokenMap> schedule, int64_t layers) {
  const auto scales = static_cast<int64_t>(schedule.size());
  Require(std::ssize(plan.prune_ratio) == scales && std::ssize(plan.skipped) == scales,
          ErrorKind::kUsage, "FastVAR is planned for {} scales, the model has {}",
          plan.prune_ratio.size(), scales);
  Require(plan.first_layer >= 0 && plan.first_layer <= plan.end_layer && plan.end_layer <= layers,
          ErrorKind::kUsage, "FastVAR cannot prune layers {} to {} of {}", plan.first_layer,
          plan.end_layer, layers);
  Require(plan.cached_scale >= 0 && plan.cached_scale < scales, ErrorKind::kUsage,
          "FastVAR has no scale {} to keep", plan.cached_scale);
  Require(!plan.skipped[0], ErrorKind::kUsage, "FastVAR cannot skip the first scale");
  for (int64_t scale = 0; scale < scales; ++scale) {
    const double ratio = plan.prune_ratio[static_cast<size_t>(scale)];
    Require(ratio >= 0 && ratio < 1, ErrorKind::kUsage, "FastVAR cannot drop {} of a map's tokens",
            ratio);
    Require(ratio == 0 || scale > plan.cached_scale, ErrorKind::kUsage,
            "FastVAR prunes scale {}, but what fills in comes from scale {}", scale,
            plan.cached_scale);
  }
  const auto cached = static_cast<size_t>(plan.cached_scale);
  Require(!plan.skipped[cached], ErrorKind::kUsage, "FastVAR skips scale {} and needs its results",
          plan.cached_scale);
}

std::string_view NameOf(Branch branch) {
  switch (branch) {
    case Branch::kSelfAttention:
      return "attn";
    case Branch::kCrossAttention:
      return "cross_attn";
    case Branch::kFeedForward:
      return "ffn";
  }
  CHECK(false);
}

}  // namespace

void FastVarOptions::Visit(OptionVisitor& visitor) {
  visitor.Integer("scales", scales, 1, kMaxScales, "scales that prune, the last ones that run");
  visitor.Number("first_ratio", first_ratio, -1, 0.99,
                 "share dropped at the first of them; below 0: as published for its tokens");
  visitor.Number("last_ratio", last_ratio, -1, 0.99,
                 "share dropped at the last of them; below 0: likewise");
  visitor.Integer("cached", cached, -1, kMaxScales,
                  "scale whose results fill in; -1: the one before the first that prunes");
  visitor.Integer("skip", skip, -1, kMaxScales,
                  "scales at the end not computed at all; -1: maps of 48 x 48 and more");
  visitor.Integer("first_layer", first_layer, -1, kMaxLayers,
                  "first layer that prunes; -1: 3 of 32");
  visitor.Integer("end_layer", end_layer, -1, kMaxLayers,
                  "layer behind the last that prunes; -1: 28 of 32");
}

FastVarPlan PlanFastVar(const FastVarOptions& options, std::span<const TokenMap> schedule,
                        int64_t layers) {
  const auto scales = static_cast<int64_t>(schedule.size());
  const int64_t skip = options.skip < 0 ? SkippedByDefault(schedule) : options.skip;
  const int64_t end = scales - skip;
  const int64_t first = end - options.scales;
  Require(first >= 1, ErrorKind::kUsage,
          "FastVAR cannot skip {} and prune {} of {} scales: one must come before them", skip,
          options.scales, scales);
  FastVarPlan plan;
  plan.cached_scale = options.cached < 0 ? first - 1 : options.cached;
  plan.prune_ratio.assign(schedule.size(), 0);
  plan.skipped.assign(schedule.size(), false);
  const auto ratio_at = [&](double given, int64_t scale) {
    return given < 0 ? PublishedRatio(schedule[static_cast<size_t>(scale)]) : given;
  };
  const double first_ratio = ratio_at(options.first_ratio, first);
  const double last_ratio = ratio_at(options.last_ratio, end - 1);
  bool drops = skip > 0;
  for (int64_t scale = first; scale < end; ++scale) {
    const double at = options.scales == 1 ? 1
                                          : static_cast<double>(scale - first) /
                                                static_cast<double>(options.scales - 1);
    const double ratio = first_ratio + at * (last_ratio - first_ratio);
    plan.prune_ratio[static_cast<size_t>(scale)] = ratio;
    const int64_t tokens = schedule[static_cast<size_t>(scale)].tokens();
    drops = drops || KeptTokens(tokens, ratio) < tokens;
  }
  const int64_t largest = schedule[static_cast<size_t>(end - 1)].tokens();
  Require(options.last_ratio >= 0 || drops, ErrorKind::kUsage,
          "FastVAR drops nothing by default from maps of up to {} tokens; give last_ratio, the "
          "share that the last one drops",
          largest);
  std::fill(plan.skipped.begin() + end, plan.skipped.end(), true);
  plan.first_layer = options.first_layer < 0 ? LayersLike(3, layers) : options.first_layer;
  plan.end_layer = options.end_layer < 0 ? layers - LayersLike(4, layers) : options.end_layer;
  return plan;
}

void FastVar::Begin(std::span<const TokenMap> schedule, int64_t layers) {
  if (options_) plan_ = PlanFastVar(*options_, schedule, layers);
  CheckPlan(plan_, schedule, layers);
  schedule_.assign(schedule.begin(), schedule.end());
  branches_.resize(static_cast<size_t>(layers));
}

std::unique_ptr<Hooks> FastVar::Fork(std::span<const int64_t> rows) const {
  auto fork = std::make_unique<FastVar>(plan_);
  fork->options_ = options_;
  fork->schedule_ = schedule_;
  for (const std::array<Tensor, 3>& layer : branches_) {
    fork->branches_.push_back(
        {Select(layer[0], 0, rows), Select(layer[1], 0, rows), Select(layer[2], 0, rows)});
  }
  return fork;
}

bool FastVar::RunsScale(int64_t scale) const { return !plan_.skipped[static_cast<size_t>(scale)]; }

bool FastVar::Prunes(int64_t layer) const {
  return layer >= plan_.first_layer && layer < plan_.end_layer;
}

Tensor& FastVar::CachedBranch(const Site& site) {
  return branches_[static_cast<size_t>(site.layer)][static_cast<size_t>(site.branch)];
}

ConstView FastVar::SelectTokens(Context& ctx, const Site& site, ConstView x) {
  const double ratio = plan_.prune_ratio[static_cast<size_t>(site.scale)];
  const int64_t tokens = x.shape[1];
  const int64_t kept = KeptTokens(tokens, ratio);
  if (!Prunes(site.layer) || kept == tokens) return {};
  const View ids = ctx.arena->Alloc({x.shape[0], kept}, DType::kI32);
  const Arena::Scope scope(*ctx.arena);
  const View score = ctx.arena->Alloc({x.shape[0], tokens}, DType::kF32);
  TokenDistance(ctx, {.x = x, .score = score});
  TopTokens(ctx, {.score = score, .ids = ids});
  return ids;
}

void FastVar::AddSelected(Context& ctx, const Site& site, ConstView tokens, ConstView computed,
                          View x) {
  const Tensor& cached = CachedBranch(site);
  CHECK(!cached.empty());
  const TokenMap from = schedule_[static_cast<size_t>(plan_.cached_scale)];
  const int64_t rows = x.shape[0];
  const int64_t width = x.shape[2];
  const Arena::Scope scope(*ctx.arena);
  const View all = ctx.arena->Alloc(x.shape, DType::kF32);
  Resize(ctx, {.x = cached.view().Reshape({rows, from.height, from.width, width}),
               .resampling = Resampling::kArea,
               .out = all.Reshape({rows, site.map.height, site.map.width, width})});
  gesso::SelectTokens(ctx, {.x = computed, .ids = tokens, .inverse = true, .out = all});
  const std::array<Term, 2> sum = {{{1, x}, {1, all}}};
  LinearCombination(ctx, {.terms = sum, .out = x});
}

bool FastVar::WantsBranch(const Site& site) const {
  return site.scale == plan_.cached_scale && Prunes(site.layer);
}

void FastVar::SeeBranch(Context& ctx, const Site& site, ConstView added) {
  Tensor& cached = CachedBranch(site);
  if (cached.empty() || !(cached.shape() == added.shape)) cached = Tensor(added.shape, DType::kF32);
  if (ctx.tap != nullptr) {
    ctx.Show(fmt::format("cache_block{}_{}", site.layer, NameOf(site.branch)), added);
  }
  if (ctx.device == Device::kMeta) return;
  std::memcpy(cached.MutableData<float>(), added.Data<float>(), added.bytes());
}

int64_t FastVar::CacheCapacity(int64_t layer, int64_t /*unpruned*/) const {
  int64_t sum = 0;
  int64_t last = 0;
  for (size_t scale = 0; scale < schedule_.size(); ++scale) {
    if (plan_.skipped[scale]) continue;
    last = KeptTokens(schedule_[scale].tokens(), Prunes(layer) ? plan_.prune_ratio[scale] : 0);
    sum += last;
  }
  return sum - last;
}

}  // namespace gesso::cache
