#include "cache/kv/scalekv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/core/parallel.h"
#include "kernels/token_pruning.h"

namespace gesso::cache {

namespace {

constexpr std::array<std::string_view, 2> kPoolings = {"max", "average"};
constexpr int64_t kMaxWindow = 1 << 12;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int64_t GridSide(int64_t window_size) {
  return std::llround(std::sqrt(static_cast<double>(window_size)));
}

// The centres of a side x side grid over the map; of a map that is too small its last tokens.
std::vector<int32_t> WindowOf(const TokenMap& map, int64_t side) {
  std::vector<int32_t> window;
  if (map.height < side || map.width < side) {
    window.resize(static_cast<size_t>(std::min(side * side, map.tokens())));
    std::iota(window.begin(), window.end(),
              static_cast<int32_t>(map.tokens()) - static_cast<int32_t>(window.size()));
    return window;
  }
  const auto centre = [side](int64_t index, int64_t size) {
    const int64_t patch = size / side;
    return index * patch + (patch - 1) / 2;
  };
  for (int64_t i = 0; i < side; ++i) {
    for (int64_t j = 0; j < side; ++j) {
      const int64_t token = centre(i, map.height) * map.width + centre(j, map.width);
      window.push_back(static_cast<int32_t>(token));
    }
  }
  return window;
}

// Row `row` of view [rows, n].
template <class T>
std::span<T> Row(View view, int64_t row) {
  return {view.Data<T>() + row * view.shape[1], static_cast<size_t>(view.shape[1])};
}

// What a head of a row of keys [R, T, H, D] needs to choose.
struct Scratch {
  Scratch(Context& ctx, ConstView keys)
      : queries(ctx.arena->Alloc({keys.shape[0] * keys.shape[2], keys.shape[3]}, DType::kF32)),
        scores(ctx.arena->Alloc({keys.shape[0] * keys.shape[2], keys.shape[1]}, DType::kF32)),
        pooled(ctx.arena->Alloc(scores.shape, DType::kF32)),
        indices(ctx.arena->Alloc(scores.shape, DType::kI32)) {}

  View queries;  // [R * H, D]: the window's, added up
  View scores;   // [R * H, T]
  View pooled;   // [R * H, T]
  View indices;  // [R * H, T]
};

// sum [D] of queries [R, W, H, D] over W.
void SumQueries(ConstView queries, int64_t row, int64_t head, std::span<float> sum) {
  std::ranges::fill(sum, 0.0F);
  for (int64_t q = 0; q < queries.shape[1]; ++q) {
    const float* query = queries.Data<float>() + row * queries.strides[0] + q * queries.strides[1] +
                         head * queries.strides[2];
    for (size_t d = 0; d < sum.size(); ++d) sum[d] += query[d];
  }
}

// keys [1, T, 1, D] of T: scores [T] = query . key / sqrt(D).
template <class T>
void Score(ConstView keys, std::span<const float> query, std::span<float> scores) {
  const float factor = 1 / std::sqrt(static_cast<float>(query.size()));
  for (size_t j = 0; j < scores.size(); ++j) {
    const T* key = keys.Data<T>() + static_cast<int64_t>(j) * keys.strides[1];
    float dot = 0;
    for (size_t d = 0; d < query.size(); ++d) dot += query[d] * static_cast<float>(key[d]);
    scores[j] = dot * factor;
  }
}

// Over `kernel` neighbours; beyond the ends an average counts zeros and a maximum nothing.
void Pool(std::span<const float> scores, int64_t kernel, bool by_maximum, std::span<float> pooled) {
  const auto count = static_cast<int64_t>(scores.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto begin = static_cast<size_t>(std::max<int64_t>(i - kernel / 2, 0));
    const auto end = static_cast<size_t>(std::min(i + kernel / 2 + 1, count));
    const std::span<const float> near = scores.subspan(begin, end - begin);
    pooled[static_cast<size_t>(i)] =
        by_maximum ? *std::ranges::max_element(near)
                   : std::accumulate(near.begin(), near.end(), 0.0F) / static_cast<float>(kernel);
  }
}

// Moves the `count` highest scores' indices to the front, lower indices first among equals, and
// sorts them.
void KeepHighest(std::span<const float> scores, int64_t count, std::span<int32_t> indices) {
  std::iota(indices.begin(), indices.end(), 0);
  const auto before = [&](int32_t a, int32_t b) { return ScoresHigher(scores.data(), a, b); };
  const auto cut = indices.begin() + count;
  std::nth_element(indices.begin(), cut, indices.end(), before);
  std::sort(indices.begin(), cut);
}

}  // namespace

void ScaleKvOptions::Visit(OptionVisitor& visitor) {
  visitor.Integer("window_size", window_size, 1, kMaxWindow,
                  "tokens that decide by what they look at; a square number");
  visitor.Integer("kernel_size", kernel_size, 1, kMaxWindow,
                  "neighbouring keys whose scores are pooled; odd");
  visitor.Choice("pooling", pooling, kPoolings, "how they are pooled");
}

ScaleKv::ScaleKv(const ScaleKvOptions& options, std::optional<ScaleKvBudgets> budgets)
    : options_(options), given_(std::move(budgets)) {
  const int64_t side = GridSide(options.window_size);
  Require(options.window_size >= 1 && side * side == options.window_size, ErrorKind::kUsage,
          "scalekv: window_size is {}, must be a square number", options.window_size);
  Require(options.kernel_size >= 1 && options.kernel_size % 2 == 1, ErrorKind::kUsage,
          "scalekv: kernel_size is {}, must be odd", options.kernel_size);
  if (!given_) return;
  Require(given_->base_capacity >= 1, ErrorKind::kUsage,
          "scalekv: base_capacity is {}, must be positive", given_->base_capacity);
  for (const std::vector<int64_t>& row : given_->capacity) {
    for (const int64_t capacity : row) {
      Require(capacity >= 1, ErrorKind::kUsage, "scalekv: a budget is {}, must be positive",
              capacity);
    }
  }
}

void ScaleKv::Begin(std::span<const TokenMap> schedule, int64_t layers) {
  budgets_ = given_ ? *given_ : DefaultScaleKvBudgets(schedule, layers);
  for (const std::vector<int64_t>& row : budgets_.capacity) {
    Require(row.empty() || static_cast<int64_t>(row.size()) == layers, ErrorKind::kUsage,
            "scalekv: budgets for {} layers, but the model has {}", row.size(), layers);
  }
  schedule_.assign(schedule.begin(), schedule.end());
  budgets_.capacity.resize(schedule.size());
  began_.assign(static_cast<size_t>(layers), false);
  windows_.clear();
  for (size_t scale = 0; scale < schedule.size(); ++scale) {
    const bool cuts = !budgets_.capacity[scale].empty();
    windows_.push_back(cuts ? WindowOf(schedule[scale], GridSide(options_.window_size))
                            : std::vector<int32_t>{});
  }
}

std::unique_ptr<Hooks> ScaleKv::Fork(std::span<const int64_t>) const {
  return std::make_unique<ScaleKv>(*this);  // nothing in it belongs to a row
}

int64_t ScaleKv::CacheCapacity(int64_t /*layer*/, int64_t unpruned) const {
  int64_t held = 0;
  for (size_t scale = 0; scale + 1 < schedule_.size(); ++scale) {
    const int64_t tokens = schedule_[scale].tokens();
    if (!windows_[scale].empty() && held + tokens > budgets_.base_capacity) break;
    held += tokens;
  }
  return std::min(held, unpruned);
}

std::span<const int32_t> ScaleKv::QueryTokens(const Site& site) const {
  return windows_[static_cast<size_t>(site.scale)];
}

ConstView ScaleKv::RetainKeys(Context& ctx, const Site& site, ConstView queries, ConstView keys) {
  const auto layer = static_cast<size_t>(site.layer);
  const std::vector<int32_t>& window = windows_[static_cast<size_t>(site.scale)];
  const int64_t count = keys.shape[1];
  const auto window_size = static_cast<int64_t>(window.size());
  began_[layer] = began_[layer] || count > budgets_.base_capacity;
  const int64_t budget =
      std::max(budgets_.capacity[static_cast<size_t>(site.scale)][layer], window_size);
  if (!began_[layer] || count <= budget) return {};
  const View kept = ctx.arena->Alloc({keys.shape[0], keys.shape[2], budget}, DType::kI32);
  const Arena::Scope scope(*ctx.arena);
  const Scratch scratch(ctx, keys);
  if (ctx.device == Device::kMeta) return kept;
  ParallelFor(keys.shape[0] * keys.shape[2], [&](int64_t list) {
    const int64_t row = list / keys.shape[2];
    const int64_t head = list % keys.shape[2];
    const std::span<float> query = Row<float>(scratch.queries, list);
    SumQueries(queries, row, head, query);
    const ConstView own = keys.Slice(0, row, row + 1).Slice(2, head, head + 1);
    const std::span<float> scores = Row<float>(scratch.scores, list);
    keys.dtype == DType::kBF16 ? Score<BFloat16>(own, query, scores)
                               : Score<float>(own, query, scores);
    // The observers' own keys stay anyhow; they take no part in the pooling.
    const auto key_of = [&](int32_t token) {
      return static_cast<size_t>(count - site.map.tokens() + token);
    };
    for (const int32_t token : window) scores[key_of(token)] = -kInfinity;
    const std::span<float> pooled = Row<float>(scratch.pooled, list);
    Pool(scores, options_.kernel_size, options_.pooling == kPoolings[0], pooled);
    for (const int32_t token : window) pooled[key_of(token)] = kInfinity;
    const std::span<int32_t> indices = Row<int32_t>(scratch.indices, list);
    KeepHighest(pooled, budget, indices);
    std::copy_n(indices.begin(), budget, kept.Data<int32_t>() + list * budget);
  });
  return kept;
}

}  // namespace gesso::cache
