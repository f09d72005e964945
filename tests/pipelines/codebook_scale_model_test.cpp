// VAR with its quantiser as a model of next-scale sampling: forks that go on like the original,
// with and without policies, and what a policy saves.
#include "pipelines/codebook_scale_model.h"

#include <algorithm>
#include <array>

#include "cache/registry.h"
#include "models/nn/load.h"
#include "models/var/session.h"
#include "samplers/next_scale/sampler.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

using VarScaleModel = CodebookScaleModel<var::Session>;

constexpr int64_t kTokens = 1 + 4 + 9 + 16;

std::shared_ptr<const vqvae::Quantizer> SmallQuantizer() {
  const Json config = Json::parse(R"({"vocab_size": 12, "z_channels": 4, "quant_resi": 0.5,
      "share_quant_resi": 4, "v_patch_nums": [1, 2, 3, 4], "using_znorm": false})");
  auto quantizer = std::make_shared<vqvae::Quantizer>(vqvae::ParseQuantizerConfig(config));
  nn::LoadWeights(*quantizer, RandomWeights(*quantizer, 1), Device::kCpu, DType::kF32);
  quantizer->Pack(Device::kCpu);
  return quantizer;
}

std::shared_ptr<const var::Model> SmallTransformer() {
  const Json config = Json::parse(R"({"depth": 4, "embed_dim": 16, "num_heads": 2,
                                      "num_classes": 3, "patch_nums": [1, 2, 3, 4]})");
  Weights sizes;
  sizes.tensors["head.weight"] = Tensor({12, 16}, DType::kF32);
  sizes.tensors["word_embed.weight"] = Tensor({16, 4}, DType::kF32);
  var::Model shapes(var::ParseConfig(config, sizes));
  return var::Load(RandomWeights(shapes, 2), shapes.config, Device::kCpu, DType::kF32);
}

// Two pictures under guidance, of classes 0 and 2.
std::unique_ptr<VarScaleModel> MakeModel(const std::string& policy) {
  auto hooks = policy.empty() ? nullptr : cache::MakePolicy(policy)();
  Tensor labels({4}, DType::kI32);
  std::ranges::copy(std::array<int32_t, 4>{0, 2, 3, 3}, labels.MutableData<int32_t>());
  return std::make_unique<VarScaleModel>(
      var::Session(SmallTransformer(), 4, std::move(hooks)),
      CodeSum(SmallQuantizer(), Device::kCpu, 2),
      [labels](Context& ctx, var::Session& session) { session.Begin(ctx, {.labels = labels}); });
}

struct TestBed {
  Arena arena{Device::kCpu, size_t{8} << 20};
  Context ctx{.device = Device::kCpu, .arena = &arena};
  NextScaleOptions options = {.guidance = RampedGuidance(2, 4), .top_k = 6};

  Tensor Sample(ScaleModel& model, const TokenNoise& noise, int64_t begin, int64_t end) {
    Tensor tokens({model.pictures(), kTokens}, DType::kI32);
    SampleScales(
        ctx, {.model = model, .options = options, .noise = noise, .tokens = tokens.mutable_view()},
        begin, end);
    return tokens;
  }
};

TEST(CodebookScaleModel, AForkGoesOnLikeTheOriginal) {
  for (const std::string policy :
       {"", "fastvar:scales=1,last_ratio=0.5,first_layer=1,end_layer=3", "depth:from=3",
        "fastvar:scales=1,last_ratio=0.5+depth:layers=2,from=3"}) {
    SCOPED_TRACE(policy);
    TestBed bed;
    const auto model = MakeModel(policy);
    const PhiloxTokenNoise noise({5, 6});
    model->Begin(bed.ctx);
    bed.Sample(*model, noise, 0, 3);
    const std::array<int64_t, 3> pictures = {1, 0, 1};
    const std::unique_ptr<ScaleModel> fork = model->Fork(pictures);
    const Tensor want = bed.Sample(*model, noise, 3, 4);
    const Tensor got = bed.Sample(*fork, PhiloxTokenNoise({6, 5, 6}), 3, 4);
    const ConstView f_hat = model->codes().f_hat();
    const ConstView forked = dynamic_cast<VarScaleModel&>(*fork).codes().f_hat();
    for (size_t i = 0; i < pictures.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      EXPECT_TRUE(SameBits(got.view().Slice(0, row, row + 1),
                           want.view().Slice(0, pictures[i], pictures[i] + 1)));
      EXPECT_TRUE(
          SameBits(forked.Slice(0, row, row + 1), f_hat.Slice(0, pictures[i], pictures[i] + 1)));
    }
  }
}

TEST(CodebookScaleModel, PoliciesChangeLateScalesOnly) {
  TestBed bed;
  const PhiloxTokenNoise noise({5, 6});
  const auto sample = [&](const std::string& policy) {
    const auto model = MakeModel(policy);
    model->Begin(bed.ctx);
    Tensor logits({4, 16, 12}, DType::kF32);
    Tensor tokens = bed.Sample(*model, noise, 0, 3);
    model->Logits(bed.ctx, 3, logits.mutable_view());
    return std::pair(std::move(tokens), std::move(logits));
  };
  const auto [tokens, logits] = sample("");
  for (const std::string policy :
       {"fastvar:scales=1,last_ratio=0.5,first_layer=1,end_layer=3", "depth:from=3"}) {
    const auto [other_tokens, other_logits] = sample(policy);
    EXPECT_TRUE(SameBits(other_tokens, tokens)) << policy;
    EXPECT_FALSE(SameBits(other_logits, logits)) << policy;
  }
  const auto [skipped, ignored] = sample("fastvar:scales=1,last_ratio=0");
  EXPECT_TRUE(SameBits(ignored, logits)) << "nothing is dropped";
}

TEST(CodebookScaleModel, SkippedScalesAddNothing) {
  TestBed bed;
  const PhiloxTokenNoise noise({5, 6});
  const auto model = MakeModel("fastvar:scales=1,skip=1");
  model->Begin(bed.ctx);
  bed.Sample(*model, noise, 0, 3);
  const Tensor before = Cast(model->codes().f_hat(), DType::kF32);
  bed.Sample(*model, noise, 3, 4);
  EXPECT_FALSE(model->Runs(3));
  EXPECT_TRUE(SameBits(model->codes().f_hat(), before));
}

}  // namespace
}  // namespace gesso
