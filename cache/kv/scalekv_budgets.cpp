#include "cache/kv/scalekv_budgets.h"

#include <algorithm>
#include <cmath>

namespace gesso::cache {

namespace {

// Of the square 1M schedule with Infinity 2B and 8B.
constexpr int64_t kPublishedMean = 650;
constexpr int64_t kPublishedFloor = 200;
constexpr int64_t kLeastMean = 64;  // a tenth of a small picture's history is too little to go by
constexpr int64_t kPublishedHistory = 6425;
constexpr int64_t kPublishedTokens = 10521;
constexpr size_t kPublishedScales = 13;
constexpr int64_t kDepth2B = 32;

int64_t TokensOf(std::span<const TokenMap> maps) {
  int64_t tokens = 0;
  for (const TokenMap& map : maps) tokens += map.tokens();
  return tokens;
}

bool IsPublished(std::span<const TokenMap> schedule) {
  const auto is_square = [](const TokenMap& map) { return map.height == map.width; };
  return schedule.size() == kPublishedScales && TokensOf(schedule) == kPublishedTokens &&
         std::ranges::all_of(schedule, is_square);
}

// The layers that are drafters while `scale` is generated.
std::vector<int64_t> Drafters(bool is_published, size_t scale, int64_t layers) {
  if (is_published && layers == kDepth2B) {
    return scale + 1 < kPublishedScales ? std::vector<int64_t>{0, 23} : std::vector<int64_t>{0};
  }
  const auto count = std::max<int64_t>(1, std::llround(static_cast<double>(layers) / 16));
  std::vector<int64_t> drafters(static_cast<size_t>(count));
  for (size_t i = 0; i < drafters.size(); ++i) drafters[i] = static_cast<int64_t>(i);
  return drafters;
}

// The largest drafter's budget within `limit` that leaves every refiner the same whole number,
// `floor` or more; the mean where there is none.
int64_t DrafterBudget(int64_t mean, int64_t layers, int64_t drafters, int64_t floor,
                      int64_t limit) {
  const int64_t refiners = layers - drafters;
  const int64_t sum = mean * layers;
  for (int64_t budget = limit; budget > mean; --budget) {
    const int64_t rest = sum - drafters * budget;
    if (rest % refiners == 0 && rest / refiners >= floor) return budget;
  }
  return mean;
}

}  // namespace

ScaleKvBudgets DefaultScaleKvBudgets(std::span<const TokenMap> schedule, int64_t layers) {
  Require(layers >= 1 && schedule.size() >= 2, ErrorKind::kUsage,
          "ScaleKV needs layers and at least two scales, got {} and {}", layers, schedule.size());
  const bool is_published = IsPublished(schedule);
  const int64_t history = TokensOf(schedule.first(schedule.size() - 1));
  const double share = static_cast<double>(history) / kPublishedHistory;
  const auto scaled = [&](int64_t published) {
    return std::max<int64_t>(1, std::llround(static_cast<double>(published) * share));
  };
  const int64_t mean = std::max(scaled(kPublishedMean), kLeastMean);
  const int64_t floor = scaled(kPublishedFloor);
  ScaleKvBudgets budgets = {.base_capacity = mean, .capacity = {}};
  budgets.capacity.resize(schedule.size());
  int64_t held = 0;  // by a drafter
  for (size_t scale = 0; scale + 1 < schedule.size(); ++scale) {
    held += schedule[scale].tokens();
    if (TokensOf(schedule.first(scale + 1)) <= mean) continue;
    const std::vector<int64_t> drafters = Drafters(is_published, scale + 1, layers);
    const auto count = static_cast<int64_t>(drafters.size());
    const int64_t most = layers > count ? DrafterBudget(mean, layers, count, floor, held) : mean;
    const int64_t least = layers > count ? (mean * layers - count * most) / (layers - count) : mean;
    budgets.capacity[scale].assign(static_cast<size_t>(layers), least);
    for (const int64_t layer : drafters) budgets.capacity[scale][static_cast<size_t>(layer)] = most;
    held = most;
  }
  return budgets;
}

}  // namespace gesso::cache
