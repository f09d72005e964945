// Infinity in the next-scale sampling loop: pictures depend on their seed alone, a fork goes on
// alike, and a thinned-out cache takes part.
#include "pipelines/infinity_scale_model.h"

#include <gtest/gtest.h>

#include "cache/kv/scalekv.h"
#include "samplers/next_scale/sampler.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

const std::vector<TokenMap>& Maps() {
  static const std::vector<TokenMap> maps = {{1, 1}, {2, 2}, {4, 3}, {5, 4}};
  return maps;
}

std::shared_ptr<const infinity::Model> SmallModel() {
  static const auto model = [] {
    const Json json = {{"depth", 4},        {"embed_dim", 32},      {"num_heads", 2},
                       {"block_chunks", 2}, {"mlp_ratio", 8},       {"codebook_dim", 3},
                       {"text_maxlen", 6},  {"text_channels", 256}, {"apply_spatial_patchify", 1}};
    infinity::Model shapes(infinity::ParseConfig(json));
    return infinity::Load(RandomWeights(shapes, 7), infinity::ParseConfig(json), Device::kCpu,
                          DType::kF32);
  }();
  return model;
}

// Picture i shows prompt i mod 3.
InfinityScaleModel MakeModel(int64_t pictures, std::unique_ptr<Hooks> hooks = nullptr) {
  std::vector<Tensor> prompts;
  for (int64_t i = 0; i < pictures; ++i) {
    prompts.push_back(RandomTensor({2 + i % 3, 256}, static_cast<uint32_t>(i % 3)));
  }
  const std::vector<ConstView> views(prompts.begin(), prompts.end());
  infinity::TextBatch texts = infinity::MakeTextBatch(*SmallModel(), views, {}, true);
  return {
      infinity::Session(SmallModel(), {.maps = Maps(), .reference = {9, 8}, .rows = 2 * pictures},
                        std::move(hooks)),
      std::move(texts), true};
}

struct Sampled {
  Tensor tokens;
  Tensor summed;
};

Sampled Sample(InfinityScaleModel& model, std::vector<uint64_t> seeds, int64_t begin = 0) {
  Arena arena(Device::kCpu, size_t{64} << 20);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  Tensor tokens({model.pictures(), ChoicesBefore(model, model.scales())}, DType::kI32);
  const NextScaleOptions options = {
      .guidance = {3, 2, 3, 1}, .temperature = {0.5, 1, 1, 1}, .top_p = 0.97};
  const PhiloxTokenNoise noise(std::move(seeds));
  const NextScaleRun run = {
      .model = model, .options = options, .noise = noise, .tokens = tokens.mutable_view()};
  if (begin == 0) model.Begin(ctx);
  SampleScales(ctx, run, begin, model.scales());
  return {tokens, Cast(model.summed(), DType::kF32)};
}

TEST(InfinityScaleModel, APictureDependsOnItsSeedAlone) {
  InfinityScaleModel three = MakeModel(3);
  InfinityScaleModel one = MakeModel(1);
  const Sampled all = Sample(three, {5, 6, 7});
  const Sampled first = Sample(one, {5});
  EXPECT_TRUE(SameBits(Cast(all.tokens.view().Slice(0, 0, 1), DType::kI32), first.tokens));
  EXPECT_TRUE(SameBits(Cast(all.summed.view().Slice(0, 0, 1), DType::kF32), first.summed));
  EXPECT_FALSE(SameBits(Sample(one, {8}).tokens, first.tokens));
}

TEST(InfinityScaleModel, AForkGoesOnAlike) {
  InfinityScaleModel whole = MakeModel(2);
  const Sampled want = Sample(whole, {5, 6});
  InfinityScaleModel model = MakeModel(2);
  Arena arena(Device::kCpu, size_t{64} << 20);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  Tensor tokens(want.tokens.shape(), DType::kI32);
  const NextScaleOptions options = {
      .guidance = {3, 2, 3, 1}, .temperature = {0.5, 1, 1, 1}, .top_p = 0.97};
  const PhiloxTokenNoise noise({5, 6});
  const NextScaleRun run = {
      .model = model, .options = options, .noise = noise, .tokens = tokens.mutable_view()};
  model.Begin(ctx);
  SampleScales(ctx, run, 0, 2);
  const std::vector<int64_t> pictures = {1, 0};
  const std::unique_ptr<ScaleModel> fork = model.Fork(pictures);
  const Sampled got = Sample(dynamic_cast<InfinityScaleModel&>(*fork), {6, 5}, 2);
  for (int64_t i = 0; i < 2; ++i) {
    const int64_t from = pictures[static_cast<size_t>(i)];
    EXPECT_TRUE(SameBits(Cast(got.summed.view().Slice(0, i, i + 1), DType::kF32),
                         Cast(want.summed.view().Slice(0, from, from + 1), DType::kF32)));
  }
}

TEST(InfinityScaleModel, BudgetsThatHoldEverythingChangeNoBit) {
  InfinityScaleModel plain = MakeModel(2);
  const Sampled want = Sample(plain, {5, 6});
  const auto sample_with = [](int64_t budget) {
    cache::ScaleKvBudgets budgets = {.base_capacity = 4, .capacity = {}};
    budgets.capacity = {{}, {}, std::vector<int64_t>(4, budget), {}};
    InfinityScaleModel model =
        MakeModel(2, std::make_unique<cache::ScaleKv>(
                         cache::ScaleKvOptions{.window_size = 4, .kernel_size = 3}, budgets));
    return Sample(model, {5, 6});
  };
  EXPECT_TRUE(SameBits(sample_with(1000).summed, want.summed));
  const Sampled thinned = sample_with(6);
  EXPECT_FALSE(SameBits(thinned.summed, want.summed));
  // The first three scales have seen all keys.
  const int64_t early = (1 + 4 + 12) * 12;
  EXPECT_TRUE(SameBits(Cast(thinned.tokens.view().Slice(1, 0, early), DType::kI32),
                       Cast(want.tokens.view().Slice(1, 0, early), DType::kI32)));
}

TEST(InfinityScaleModel, HasNoMixtures) {
  InfinityScaleModel model = MakeModel(1);
  Arena arena(Device::kCpu, size_t{1} << 20);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  ExpectError(ErrorKind::kUnsupported, "do not mix", [&] { model.CommitMixture(ctx, 0, {}); });
}

}  // namespace
}  // namespace gesso
