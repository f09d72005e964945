// Recomputes the cases of ScaleKV: self-attention layers of Infinity with a thinned-out cache, and
// the search for drafters.
#include "cache/kv/scalekv.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "cache/kv/scalekv_roles.h"
#include "models/infinity/rotary.h"
#include "models/next_scale/attention.h"
#include "models/nn/load.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

constexpr int64_t kMaxSide = 1 << 12;

TokenMap MapOf(const Json& json, const std::string& name) {
  Require(json.is_array() && json.size() >= 2, ErrorKind::kConfig, "{} is no list of sides", name);
  return {ToInt(json[json.size() - 2], name, 1, kMaxSide),
          ToInt(json[json.size() - 1], name, 1, kMaxSide)};
}

std::vector<TokenMap> ScheduleOf(const Json& config) {
  std::vector<TokenMap> maps;
  for (const Json& map : Get<Json>(config, "scale_schedule")) {
    maps.push_back(MapOf(map, "scale_schedule"));
  }
  return maps;
}

// cache_sizes counts scales from 1 and names the one that sees what is left.
cache::ScaleKvBudgets BudgetsOf(const Json& config, size_t scales) {
  cache::ScaleKvBudgets budgets = {.base_capacity = Get<int64_t>(config, "base_capacity"),
                                   .capacity = std::vector<std::vector<int64_t>>(scales)};
  const auto sizes = Get<Json>(config, "cache_sizes");
  for (const auto& [scale, row] : sizes.items()) {
    size_t number = 0;
    std::from_chars(scale.data(), scale.data() + scale.size(), number);
    Require(number >= 2 && number < scales + 2, ErrorKind::kConfig,
            "cache_sizes: '{}' is no scale of this schedule", scale);
    for (const Json& capacity : row) {
      budgets.capacity[number - 2].push_back(ToInt(capacity, "cache_sizes", 1, int64_t{1} << 30));
    }
  }
  return budgets;
}

cache::ScaleKvOptions OptionsOf(const Json& config) {
  const auto pooling = Get<std::string>(config, "pooling");
  Require(pooling == "maxpool" || pooling == "avgpool", ErrorKind::kUnsupported,
          "pooling '{}' is not supported (maxpool, avgpool)", pooling);
  return {.window_size = Get<int64_t>(config, "window_size"),
          .kernel_size = Get<int64_t>(config, "kernel_size"),
          .pooling = pooling == "maxpool" ? "max" : "average"};
}

// Passes on to ScaleKv and knows the positions of what the layer's cache holds.
class WatchedScaleKv : public Hooks {
 public:
  WatchedScaleKv(ParityCase& parity_case, cache::ScaleKv& policy, int64_t rows, int64_t heads)
      : case_(parity_case), policy_(policy), positions_(static_cast<size_t>(rows * heads)) {}

  std::unique_ptr<Hooks> Fork(std::span<const int64_t>) const override {
    Fail(ErrorKind::kInternal, "a recomputation is not forked");
  }

  // The scale's tokens join the cache.
  void Append(const TokenMap& map) {
    for (std::vector<int32_t>& list : positions_) {
      const size_t held = list.size();
      list.resize(held + static_cast<size_t>(map.tokens()));
      std::iota(list.begin() + static_cast<int64_t>(held), list.end(), next_);
    }
    next_ += static_cast<int32_t>(map.tokens());
  }

  std::span<const int32_t> QueryTokens(const Site& site) const override {
    return policy_.QueryTokens(site);
  }

  ConstView RetainKeys(Context& ctx, const Site& site, ConstView queries, ConstView keys) override {
    ConstView kept = policy_.RetainKeys(ctx, site, queries, keys);
    if (kept.empty()) return {};
    const std::string name = fmt::format("out/kept.{}.{}", site.layer, site.scale);
    if (case_.TakesChoices()) kept = IndicesOf(ctx, case_.TakeChoice(name), kept.shape);
    const int64_t count = kept.shape[2];
    Tensor positions(kept.shape, DType::kI32);
    for (size_t list = 0; list < positions_.size(); ++list) {
      const int64_t at = static_cast<int64_t>(list) * count;
      std::vector<int32_t> left;
      for (int64_t i = 0; i < count; ++i) {
        left.push_back(positions_[list][static_cast<size_t>(kept.Data<int32_t>()[at + i])]);
      }
      positions_[list] = left;
      std::ranges::copy(left, positions.MutableData<int32_t>() + at);
    }
    if (!case_.TakesChoices()) case_.Compare(name, positions);
    return kept;
  }

 private:
  // Where the cache holds the tokens at `positions`.
  ConstView IndicesOf(Context& ctx, const Tensor& positions, const Shape& shape) const {
    Require(positions.shape() == shape && positions.dtype() == DType::kI32, ErrorKind::kShape,
            "out/kept: expected int32 {}, got {}", shape, positions.shape());
    const View indices = ctx.arena->Alloc(shape, DType::kI32);
    for (int64_t i = 0; i < indices.numel(); ++i) {
      const std::vector<int32_t>& held = positions_[static_cast<size_t>(i / shape[2])];
      const int32_t position = positions.Data<int32_t>()[i];
      const auto found = std::ranges::lower_bound(held, position);
      Require(found != held.end() && *found == position, ErrorKind::kFormat,
              "out/kept: the cache of list {} no longer holds token {}", i / shape[2], position);
      indices.Data<int32_t>()[i] = static_cast<int32_t>(found - held.begin());
    }
    return indices;
  }

  ParityCase& case_;
  cache::ScaleKv& policy_;
  int32_t next_ = 0;                             // position of the next scale's first token
  std::vector<std::vector<int32_t>> positions_;  // by row and head
};

struct Layers {
  explicit Layers(const Json& config)
      : attention({.width = GetInt(config, "embed_dim", 4, kMaxSide),
                   .heads = GetInt(config, "num_heads", 1, kMaxSide)}),
        layers(static_cast<size_t>(GetInt(config, "depth", 1, kMaxSide)),
               next_scale::SelfAttention(attention)) {
    Require(Get<bool>(config, "cos_attn"), ErrorKind::kUnsupported,
            "cos_attn false is not supported");
    Require(attention.width % (4 * attention.heads) == 0, ErrorKind::kConfig,
            "embed_dim {} does not give {} heads of a multiple of 4 channels", attention.width,
            attention.heads);
  }

  int64_t head_dim() const { return attention.width / attention.heads; }

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
    for (size_t i = 0; i < layers.size(); ++i) {
      layers[i].Visit(visitor, fmt::format("{}layers.{}.", prefix, i));
    }
  }

  next_scale::AttentionConfig attention;
  std::vector<next_scale::SelfAttention> layers;
};

void RunLayer(Context& ctx, ParityCase& parity_case, cache::ScaleKv& policy,
              std::span<const TokenMap> schedule, const infinity::Rotary& rotary,
              const Layers& model, int64_t layer) {
  const next_scale::AttentionConfig& config = model.attention;
  const int64_t rows = parity_case.At(fmt::format("in/x.{}.0", layer)).shape()[0];
  const DType activation =
      ActivationDType(parity_case.options().device, parity_case.options().dtype);
  nn::KvCache kv_cache(rows, config.heads, config.width / config.heads,
                       policy.CacheCapacity(layer, rotary.cos.shape()[0]), activation);
  WatchedScaleKv hooks(parity_case, policy, rows, config.heads);
  int64_t begin = 0;
  for (size_t scale = 0; scale < schedule.size(); ++scale) {
    const Arena::Scope scope(*ctx.arena);
    const Tensor& x = parity_case.At(fmt::format("in/x.{}.{}", layer, scale));
    const TokenMap& map = schedule[scale];
    const int64_t end = begin + map.tokens();
    Require(x.shape() == Shape({rows, map.tokens(), config.width}), ErrorKind::kShape,
            "in/x.{}.{}: is {}, which is not the size of its map", layer, scale, x.shape());
    const next_scale::Pass pass{.ctx = ctx,
                                .activation = activation,
                                .hooks = &hooks,
                                .scale = static_cast<int64_t>(scale),
                                .map = map,
                                .cos = rotary.cos.view().Slice(0, begin, end),
                                .sin = rotary.sin.view().Slice(0, begin, end)};
    const View out = ctx.arena->Alloc(x.shape(), DType::kF32);
    hooks.Append(map);
    model.layers[static_cast<size_t>(layer)].Forward(pass, layer, {}, Cast(x, activation),
                                                     &kv_cache, {}, out);
    parity_case.Compare(fmt::format("out/attn.{}.{}", layer, scale), out);
    begin = end;
  }
}

}  // namespace

void VerifyScaleKv(Context& ctx, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const VerifyOptions& options = parity_case.options();
  const std::vector<TokenMap> schedule = ScheduleOf(config);
  const TokenMap reference = MapOf(Get<Json>(config, "rope_reference_hw"), "rope_reference_hw");
  Layers model(config);
  nn::LoadWeights(model, parity_case.ModelWeights(), options.device, options.dtype);
  const infinity::Rotary rotary = infinity::MakeRotary(schedule, reference, model.head_dim());
  cache::ScaleKv policy(OptionsOf(config), BudgetsOf(config, schedule.size()));
  const auto layers = static_cast<int64_t>(model.layers.size());
  policy.Begin(schedule, layers);
  for (int64_t layer = 0; layer < layers; ++layer) {
    model.layers[static_cast<size_t>(layer)].Prepare();
    RunLayer(ctx, parity_case, policy, schedule, rotary, model, layer);
  }
}

void VerifyScaleKvRoles(Context&, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const auto layers = Get<int64_t>(config, "depth");
  const auto scales = static_cast<int64_t>(Get<Json>(config, "sizes").size()) - 1;
  const auto top_k = Get<int64_t>(config, "top_k_history");
  std::vector<double> selectivity;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t scale = 1; scale <= scales; ++scale) {
      const Tensor& alpha = parity_case.At(fmt::format("in/alpha.{}.{}", layer, scale));
      selectivity.push_back(cache::AttentionSelectivity(Cast(alpha, DType::kF32), top_k));
    }
  }
  const cache::ScaleKvRoles roles =
      cache::FindScaleKvRoles(selectivity, layers,
                              {.num_drafters = Get<int64_t>(config, "num_drafters"),
                               .uniform_budget = Get<double>(config, "uniform_budget"),
                               .refiner_budget0 = Get<double>(config, "refiner_budget0"),
                               .refiner_decay = Get<double>(config, "refiner_decay")});
  const auto compare = [&](const std::string& name, const auto& values, const Shape& shape,
                           DType dtype) {
    parity_case.Compare(name, ConstView(values.data(), shape, dtype));
  };
  compare("out/asi", selectivity, {layers, scales}, DType::kF64);
  compare("out/z", roles.z, {layers, scales}, DType::kF64);
  compare("out/drafter", roles.is_drafter, {layers, scales}, DType::kU8);
  compare("out/refiner_budget", roles.refiner_budget, {scales}, DType::kF64);
  compare("out/drafter_budget", roles.drafter_budget, {scales}, DType::kF64);
}

}  // namespace gesso
