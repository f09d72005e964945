// ScaleKV: published and derived budgets, and which keys stay.
#include "cache/kv/scalekv.h"

#include <gmock/gmock.h>

#include <numeric>

#include "cache/kv/scalekv_roles.h"
#include "tests/support/ops.h"

namespace gesso::cache {
namespace {

using testing::ElementsAre;
using testing_support::ExpectError;

std::vector<TokenMap> Square(const std::vector<int64_t>& sides) {
  std::vector<TokenMap> maps;
  for (const int64_t side : sides) maps.push_back({side, side});
  return maps;
}

const std::vector<TokenMap>& Square1M() {
  static const auto maps = Square({1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64});
  return maps;
}

struct Published {
  int64_t layers;
  std::vector<int64_t> most;   // of a drafter, while scales 9 .. 13 are generated
  std::vector<int64_t> least;  // of a refiner
};

TEST(ScaleKvBudgets, ThePublishedOnesComeOutOfTheRule) {
  for (const Published& want :
       {Published{32, {920, 1490, 2510, 4100, 6385}, {632, 594, 526, 420, 465}},
        Published{40, {909, 1464, 2463, 4054, 6200}, {629, 584, 503, 374, 200}}}) {
    const ScaleKvBudgets budgets = DefaultScaleKvBudgets(Square1M(), want.layers);
    EXPECT_EQ(budgets.base_capacity, 650);
    for (size_t scale = 0; scale < 7; ++scale) EXPECT_TRUE(budgets.capacity[scale].empty());
    EXPECT_TRUE(budgets.capacity[12].empty()) << "nothing follows the last scale";
    for (size_t i = 0; i < want.most.size(); ++i) {
      std::vector<int64_t> row(static_cast<size_t>(want.layers), want.least[i]);
      const bool has_two = want.layers == 32 && i < 4;
      row[0] = want.most[i];
      if (has_two) row[23] = want.most[i];
      if (want.layers == 40) row[1] = row[2] = want.most[i];
      EXPECT_EQ(budgets.capacity[7 + i], row) << "scale " << 9 + i;
    }
  }
}

TEST(ScaleKvBudgets, OtherSchedulesKeepTheSumAndTheHistory) {
  const std::vector<std::vector<TokenMap>> schedules = {
      Square({1, 2, 3, 4, 5, 6, 8, 10, 13, 16}),
      {{1, 1}, {2, 2}, {4, 2}, {6, 3}, {10, 5}, {16, 8}, {22, 11}, {30, 15}, {38, 19}, {46, 23}},
      Square({1, 2})};
  for (const auto& schedule : schedules) {
    for (const int64_t layers : {1, 2, 12, 16, 30}) {
      const ScaleKvBudgets budgets = DefaultScaleKvBudgets(schedule, layers);
      int64_t history = 0;
      for (size_t scale = 0; scale < schedule.size(); ++scale) {
        history += schedule[scale].tokens();
        const std::vector<int64_t>& row = budgets.capacity[scale];
        if (row.empty()) continue;
        EXPECT_GT(history, budgets.base_capacity);
        EXPECT_EQ(std::accumulate(row.begin(), row.end(), int64_t{0}),
                  budgets.base_capacity * layers);
        EXPECT_LE(row[0], history);
        EXPECT_GE(row[0], row.back());
      }
    }
  }
}

// A session of one layer at its second scale, with a budget of `budget` keys.
struct OneCut {
  OneCut(const ScaleKvOptions& options, const TokenMap& map, int64_t base, int64_t budget)
      : policy(options, ScaleKvBudgets{.base_capacity = base, .capacity = {{}, {budget}}}),
        site{.layer = 0, .branch = Branch::kSelfAttention, .scale = 1, .map = map},
        arena(Device::kCpu, size_t{1} << 20) {
    ctx.arena = &arena;
    const std::vector<TokenMap> schedule = {{2, 2}, map};
    policy.Begin(schedule, 1);
  }

  // Scores of the keys of one head with one channel, for one observer (query 1).
  std::vector<int32_t> Retain(const std::vector<float>& keys, DType dtype = DType::kF32) {
    Tensor key_tensor({1, static_cast<int64_t>(keys.size()), 1, 1}, DType::kF32);
    std::ranges::copy(keys, key_tensor.MutableData<float>());
    const auto observers = static_cast<int64_t>(policy.QueryTokens(site).size());
    Tensor queries({1, observers, 1, 1}, DType::kF32);
    std::fill_n(queries.MutableData<float>(), observers, 1.0F);
    const ConstView kept = policy.RetainKeys(ctx, site, queries, Cast(key_tensor, dtype));
    if (kept.empty()) return {};
    return {kept.Data<int32_t>(), kept.Data<int32_t>() + kept.numel()};
  }

  ScaleKv policy;
  Site site;
  Arena arena;
  Context ctx;
};

TEST(ScaleKv, ObserversAreTheCentresOfAGrid) {
  const OneCut cut({.window_size = 4}, {7, 5}, 1, 30);
  // Patches of 3 x 2: centres (1, 0), (1, 2), (4, 0), (4, 2).
  EXPECT_THAT(cut.policy.QueryTokens(cut.site), ElementsAre(5, 7, 20, 22));
  const OneCut narrow({.window_size = 4}, {5, 1}, 1, 30);
  EXPECT_THAT(narrow.policy.QueryTokens(narrow.site), ElementsAre(1, 2, 3, 4));
}

TEST(ScaleKv, KeepsTheObserverAndTheHighestPooledScores) {
  // Keys 0..3 are history, 4..7 the map's 2 x 2 tokens; token 0, key 4, observes.
  const std::vector<float> keys = {1, 9, 2, 0, 50, 3, 8, 0};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    OneCut plain({.window_size = 1, .kernel_size = 1}, {2, 2}, 4, 3);
    EXPECT_THAT(plain.Retain(keys, dtype), ElementsAre(1, 4, 6));
    // Maxima of three: 9 9 9 2 . 8 8 8; equals go to the lower index, 50 does not count.
    OneCut pooled({.window_size = 1, .kernel_size = 3}, {2, 2}, 4, 5);
    EXPECT_THAT(pooled.Retain(keys, dtype), ElementsAre(0, 1, 2, 4, 5));
  }
  // Means of three, zeros beyond the ends: 3.3 4 3.7 - . - 3.7 2.7 (- next to the observer).
  OneCut average({.window_size = 1, .kernel_size = 3, .pooling = "average"}, {2, 2}, 4, 4);
  EXPECT_THAT(average.Retain(keys), ElementsAre(1, 2, 4, 6));
}

TEST(ScaleKv, DropsNothingBeforeTheBaseIsExceeded) {
  const std::vector<float> keys = {1, 9, 2, 0, 50, 3, 8, 0};
  EXPECT_TRUE(OneCut({.window_size = 1}, {2, 2}, 8, 3).Retain(keys).empty());
  EXPECT_TRUE(OneCut({.window_size = 1}, {2, 2}, 7, 8).Retain(keys).empty());
  EXPECT_EQ(OneCut({.window_size = 1}, {2, 2}, 7, 3).Retain(keys).size(), 3u);
  EXPECT_EQ(OneCut({.window_size = 4}, {2, 2}, 7, 3).Retain(keys).size(), 4u)
      << "all observers stay";
}

TEST(ScaleKv, ReservesWhatACacheHoldsBeforeItIsCut) {
  ScaleKv policy({});
  policy.Begin(Square1M(), 32);
  EXPECT_EQ(policy.CacheCapacity(0, 6425), 521);
  EXPECT_EQ(policy.CacheCapacity(1, 6425), 521);
  ScaleKv nothing({}, ScaleKvBudgets{});
  nothing.Begin(Square1M(), 32);
  EXPECT_EQ(nothing.CacheCapacity(0, 6425), 6425);
}

TEST(ScaleKvRoles, LowIndicesAreDrafters) {
  Tensor attention({1, 2, 4}, DType::kF32);
  const std::vector<float> rows = {0.1F, 0.3F, 0.2F, 0.4F, 0.5F, 0.1F, 0.2F, 0.2F};
  std::ranges::copy(rows, attention.MutableData<float>());
  EXPECT_NEAR(AttentionSelectivity(attention, 1), (0.6 + 0.4) / 2 * (0.3 + 0.5) / 2, 1e-7);
  EXPECT_NEAR(AttentionSelectivity(attention, 9), (0.6 + 0.4) / 2 * (0.4 + 0.6) / 2, 1e-7);
  // Three layers, one scale: mean 2, population deviation sqrt(2 / 3).
  const ScaleKvRoles roles = FindScaleKvRoles(
      std::vector<double>{1, 2, 3}, 3,
      {.num_drafters = 1, .uniform_budget = 10, .refiner_budget0 = 8, .refiner_decay = 1});
  EXPECT_NEAR(roles.z[0], -std::sqrt(1.5), 1e-6);
  EXPECT_THAT(roles.is_drafter, ElementsAre(1, 0, 0));
  EXPECT_THAT(roles.refiner_budget, ElementsAre(7));
  EXPECT_THAT(roles.drafter_budget, ElementsAre(16));
}

TEST(ScaleKvErrors, NameTheOption) {
  ExpectError(ErrorKind::kUsage, "window_size is 5", [] { ScaleKv({.window_size = 5}); });
  ExpectError(ErrorKind::kUsage, "kernel_size is 4", [] { ScaleKv({.kernel_size = 4}); });
  ExpectError(ErrorKind::kUsage, "base_capacity is 0",
              [] { ScaleKv({}, ScaleKvBudgets{.base_capacity = 0, .capacity = {}}); });
  ExpectError(ErrorKind::kUsage, "a budget is 0", [] {
    ScaleKv({}, ScaleKvBudgets{.capacity = {{1, 0}}});
  });
  ExpectError(ErrorKind::kUsage, "budgets for 2 layers, but the model has 3", [] {
    ScaleKv policy({}, ScaleKvBudgets{.capacity = {{9, 9}}});
    policy.Begin(Square1M(), 3);
  });
  ExpectError(ErrorKind::kUsage, "num_drafters is 4", [] {
    FindScaleKvRoles(std::vector<double>{1, 2, 3}, 3, {.num_drafters = 4});
  });
}

}  // namespace
}  // namespace gesso::cache
