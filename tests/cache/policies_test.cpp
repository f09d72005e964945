// Policies of next-scale models: FastVAR's plan, what it selects and restores; depth switching;
// the table, and what can be combined.
#include <algorithm>
#include <array>

#include "cache/depth/depth_switch.h"
#include "cache/registry.h"
#include "cache/tokens/fastvar.h"
#include "tests/support/ops.h"

namespace gesso::cache {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

std::vector<TokenMap> Squares(const std::vector<int64_t>& sides) {
  std::vector<TokenMap> maps;
  for (const int64_t side : sides) maps.push_back({side, side});
  return maps;
}

const std::vector<TokenMap>& Var256() {
  static const std::vector<TokenMap> maps = Squares({1, 2, 3, 4, 5, 6, 8, 10, 13, 16});
  return maps;
}

TEST(FastVarPlan, DefaultsAreThePublishedOnesCarriedOver) {
  // VAR's at 512 pixels.
  const FastVarPlan var = PlanFastVar({}, Squares({1, 2, 3, 4, 6, 9, 13, 18, 24, 32}), 16);
  EXPECT_EQ(var.cached_scale, 7);
  EXPECT_EQ(var.prune_ratio[8], 0);  // 24 x 24 is computed whole
  EXPECT_EQ(var.prune_ratio[9], 0.4);
  EXPECT_EQ(std::ranges::count(var.skipped, true), 0);
  EXPECT_EQ(var.first_layer, 2);
  EXPECT_EQ(var.end_layer, 14);
  const FastVarPlan larger = PlanFastVar({}, Squares({1, 2, 36, 44}), 16);
  EXPECT_NEAR(larger.prune_ratio[2], 0.4 + 0.1 * (1296 - 1024) / (1600 - 1024), 1e-12);
  EXPECT_EQ(larger.prune_ratio[3], 0.5);
  const FastVarPlan given =
      PlanFastVar({.scales = 3, .first_ratio = 0.2, .last_ratio = 0.4}, Var256(), 16);
  EXPECT_NEAR(given.prune_ratio[8], 0.3, 1e-12);
  // The last map, which drops nothing by default, need not be the one that drops.
  const FastVarPlan first = PlanFastVar({.first_ratio = 0.3}, Var256(), 16);
  EXPECT_EQ(first.prune_ratio[8], 0.3);
  EXPECT_EQ(first.prune_ratio[9], 0);
  // Infinity's square schedule with 32 layers: the published settings themselves.
  const FastVarPlan infinity =
      PlanFastVar({}, Squares({1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64}), 32);
  EXPECT_EQ(infinity.cached_scale, 8);
  EXPECT_EQ(infinity.prune_ratio[9], 0.4);
  EXPECT_EQ(infinity.prune_ratio[10], 0.5);
  EXPECT_TRUE(infinity.skipped[11] && infinity.skipped[12]);
  EXPECT_EQ(infinity.first_layer, 3);
  EXPECT_EQ(infinity.end_layer, 28);
}

TEST(FastVarPlan, RefusesWhatDoesNotFit) {
  ExpectError(ErrorKind::kUsage, "one must come before them",
              [] { PlanFastVar({.scales = 10}, Var256(), 16); });
  ExpectError(ErrorKind::kUsage, "drops nothing by default from maps of up to 256 tokens",
              [] { PlanFastVar({}, Var256(), 16); });
  ExpectError(ErrorKind::kUsage, "drops nothing by default",
              [] { PlanFastVar({.first_ratio = 0}, Var256(), 16); });
  ExpectError(ErrorKind::kUsage, "what fills in comes from scale 9",
              [] { FastVar(FastVarOptions{.last_ratio = 0.5, .cached = 9}).Begin(Var256(), 16); });
  ExpectError(ErrorKind::kUsage, "cannot prune layers 3 to 20 of 16", [] {
    FastVar(FastVarOptions{.last_ratio = 0.5, .first_layer = 3, .end_layer = 20})
        .Begin(Var256(), 16);
  });
}

struct TestBed {
  Arena arena{Device::kCpu, size_t{1} << 20};
  Context ctx{.device = Device::kCpu, .arena = &arena};
};

FastVarPlan SmallPlan() {
  return {.cached_scale = 1,
          .prune_ratio = {0, 0, 0.5},
          .skipped = {false, false, false},
          .first_layer = 1,
          .end_layer = 2};
}

TEST(FastVar, ComputesWhatStandsOutAndFillsInTheRest) {
  TestBed run;
  FastVar hooks(SmallPlan());
  hooks.Begin(Squares({1, 2, 4}), 2);
  const Site cached{.layer = 1, .branch = Branch::kFeedForward, .scale = 1, .map = {2, 2}};
  Tensor branch({1, 4, 3}, DType::kF32);
  for (int i = 0; i < 12; ++i) branch.MutableData<float>()[i] = static_cast<float>(i / 3 + 1);
  EXPECT_TRUE(hooks.WantsBranch(cached));
  hooks.SeeBranch(run.ctx, cached, branch);

  const Site late{.layer = 1, .branch = Branch::kFeedForward, .scale = 2, .map = {4, 4}};
  Tensor x({1, 16, 3}, DType::kF32);
  for (int token = 8; token < 16; ++token) {
    x.MutableData<float>()[token * 3] = static_cast<float>(token);  // far from the mean, upwards
    x.MutableData<float>()[(token - 8) * 3] = 4;
  }
  EXPECT_TRUE(hooks.SelectTokens(run.ctx, {.layer = 0, .scale = 2, .map = {4, 4}}, x).empty());
  EXPECT_FALSE(hooks.WantsBranch(late));
  const ConstView ids = hooks.SelectTokens(run.ctx, late, x);
  ASSERT_EQ(ids.shape, Shape({1, 8}));
  EXPECT_TRUE(std::is_sorted(ids.Data<int32_t>(), ids.Data<int32_t>() + 8));
  Tensor computed({1, 8, 3}, DType::kF32);
  std::fill_n(computed.MutableData<float>(), 24, 100.0f);
  const Tensor before = Cast(x, DType::kF32);
  hooks.AddSelected(run.ctx, late, ids, computed, x.mutable_view());
  for (int32_t token = 0; token < 16; ++token) {
    const bool kept = std::binary_search(ids.Data<int32_t>(), ids.Data<int32_t>() + 8, token);
    const int quarter = token / 8 * 2 + token % 4 / 2;  // of the 2 x 2 map
    const float added = kept ? 100 : static_cast<float>(quarter + 1);
    EXPECT_EQ(x.Data<float>()[token * 3 + 1] - before.Data<float>()[token * 3 + 1], added) << token;
  }
  EXPECT_EQ(hooks.CacheCapacity(0, 5), 5);
  EXPECT_EQ(hooks.CacheCapacity(1, 5), 5);  // the last scale's are not kept
}

TEST(FastVar, AForkKeepsItsRows) {
  TestBed run;
  FastVar hooks(SmallPlan());
  hooks.Begin(Squares({1, 2, 4}), 2);
  const Site cached{.layer = 1, .branch = Branch::kSelfAttention, .scale = 1, .map = {2, 2}};
  hooks.SeeBranch(run.ctx, cached, RandomTensor({2, 4, 3}, 1));
  const Site late{.layer = 1, .branch = Branch::kSelfAttention, .scale = 2, .map = {4, 4}};
  const Tensor start = RandomTensor({2, 16, 3}, 2);
  const std::array<int64_t, 1> rows = {1};
  const std::unique_ptr<Hooks> fork = hooks.Fork(rows);
  const auto restored = [&](Hooks& policy, const Tensor& from) {
    Tensor x = Cast(from, DType::kF32);
    const ConstView ids = policy.SelectTokens(run.ctx, late, x);
    const Tensor computed({x.shape()[0], ids.shape[1], 3}, DType::kF32);
    policy.AddSelected(run.ctx, late, ids, computed, x.mutable_view());
    return x;
  };
  const Tensor both = restored(hooks, start);
  const Tensor one = restored(*fork, Cast(start.view().Slice(0, 1, 2), DType::kF32));
  EXPECT_TRUE(SameBits(one, both.view().Slice(0, 1, 2)));
}

TEST(DepthSwitch, KeepsLayersAtEqualDistances) {
  const auto kept = [](int64_t depth, int64_t count) {
    std::vector<int64_t> layers;
    const std::vector<bool> flags = EquidistantLayers(depth, count);
    for (size_t i = 0; i < flags.size(); ++i) {
      if (flags[i]) layers.push_back(static_cast<int64_t>(i));
    }
    return layers;
  };
  EXPECT_EQ(kept(30, 2), (std::vector<int64_t>{0, 29}));
  EXPECT_EQ(kept(7, 4), (std::vector<int64_t>{0, 2, 4, 6}));
  EXPECT_EQ(kept(6, 3), (std::vector<int64_t>{0, 3, 5}));
  EXPECT_EQ(kept(4, 4), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(5, 1), (std::vector<int64_t>{0}));
  for (int64_t count = 1; count <= 30; ++count) {
    EXPECT_EQ(static_cast<int64_t>(kept(30, count).size()), count);
  }
}

TEST(DepthSwitch, RunsAllLayersEarlyAndAPartLate) {
  DepthSwitch hooks(DepthSwitchOptions{});
  hooks.Begin(Var256(), 7);
  for (int64_t layer = 0; layer < 7; ++layer) {
    EXPECT_TRUE(hooks.RunsLayer(layer, 6));
    EXPECT_EQ(hooks.RunsLayer(layer, 7), layer % 2 == 0) << layer;
  }
  EXPECT_EQ(hooks.CacheCapacity(0, 424), 424);
  EXPECT_EQ(hooks.CacheCapacity(1, 424), 91);  // not the last scale that it runs
  for (const size_t scales : {2, 3, 5}) {      // of fewer than three scales the last one
    hooks.Begin(std::span(Var256()).first(scales), 7);
    EXPECT_TRUE(hooks.RunsLayer(1, static_cast<int64_t>(scales) - 2)) << scales;
    EXPECT_FALSE(hooks.RunsLayer(1, static_cast<int64_t>(scales) - 1)) << scales;
  }
  ExpectError(ErrorKind::kUsage, "from scale 1 on, but the last of 1 scales is 0",
              [&] { hooks.Begin(std::span(Var256()).first(1), 7); });
  ExpectError(ErrorKind::kUsage, "depth switching to 8 layers, but the model has 7",
              [] { DepthSwitch(DepthSwitchOptions{.layers = 8}).Begin(Var256(), 7); });
}

TEST(Policies, AreMadeByNameAndCombined) {
  for (const PolicyInfo& info : Policies()) {
    const auto hooks = MakePolicy(info.name)();
    hooks->Begin(Squares({1, 2, 4, 8, 16, 32}), 16);
    EXPECT_TRUE(hooks->RunsScale(0) && hooks->RunsLayer(0, 0)) << info.name;
  }
  const auto both = MakePolicy("fastvar:scales=1,last_ratio=0.5+depth:layers=4,from=8")();
  both->Begin(Var256(), 7);
  EXPECT_FALSE(both->RunsLayer(1, 9));
  EXPECT_TRUE(both->WantsBranch({.layer = 2, .scale = 8, .map = {13, 13}}));
  EXPECT_EQ(both->CacheCapacity(1, 424), 155);
  const std::array<int64_t, 1> rows = {0};
  EXPECT_FALSE(both->Fork(rows)->RunsLayer(1, 9));
  ExpectError(ErrorKind::kUsage, "there is no cache policy 'none' (policies: fastvar, depth",
              [] { MakePolicy("none"); });
  ExpectError(ErrorKind::kUsage, "both choose the layers", [] { MakePolicy("depth+depth"); });
  ExpectError(ErrorKind::kUsage, "fastvar: ", [] { MakePolicy("fastvar:first_ratio=2"); });
}

TEST(Policies, ThatChooseTokensDoNotGoWithThoseThatChooseKeys) {
  std::vector<NamedHooks> policies;
  policies.push_back({"a", {.tokens = true}, std::make_unique<FastVar>(FastVarOptions{})});
  policies.push_back({"b", {.keys = true}, std::make_unique<DepthSwitch>(DepthSwitchOptions{})});
  ExpectError(ErrorKind::kUsage, "a and b cannot be combined: keys are chosen",
              [&] { Combine(std::move(policies)); });
}

}  // namespace
}  // namespace gesso::cache
