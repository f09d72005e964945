// The next-scale loop on a model whose logits are known: guidance, temperature, given tokens,
// mixtures, skipped scales, forks, and random numbers that do not depend on the batch.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "kernels/core/rng.h"
#include "samplers/next_scale/sampler.h"
#include "tests/samplers/support.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

constexpr int64_t kValues = 7;
constexpr std::array<int64_t, 3> kTokens = {1, 4, 9};

// Logits depend on a picture's identity, its previous token sum, the scale and the condition.
class KnownModel : public ScaleModel {
 public:
  explicit KnownModel(std::vector<uint64_t> identities) : identities_(std::move(identities)) {}

  int64_t pictures() const override { return static_cast<int64_t>(identities_.size()); }
  int64_t scales() const override { return 3; }
  int64_t tokens(int64_t scale) const override { return kTokens[static_cast<size_t>(scale)]; }
  TokenChoices choices() const override { return {.units = 1, .values = kValues}; }
  bool Runs(int64_t scale) const override { return scale != skipped; }
  void Begin(Context&) override { sums_.assign(identities_.size(), 0); }

  void Logits(Context&, int64_t scale, View logits) override {
    rows_asked.push_back(logits.shape[0]);
    float* to = logits.Data<float>();
    for (int64_t row = 0; row < logits.shape[0]; ++row) {
      const auto picture = static_cast<size_t>(row % pictures());
      const uint64_t stream =
          sums_[picture] * 8 + static_cast<uint64_t>(scale) * 2 + (row < pictures() ? 0u : 1u);
      const View part(to + row * tokens(scale) * kValues, {tokens(scale), kValues}, DType::kF32);
      FillNormal(part, identities_[picture], stream);
    }
  }
  void Commit(Context&, int64_t, ConstView chosen) override {
    for (int64_t i = 0; i < chosen.numel(); ++i) {
      sums_[static_cast<size_t>(i / chosen.shape[1])] +=
          static_cast<uint64_t>(chosen.Data<int32_t>()[i] + 1);
    }
  }
  void CommitMixture(Context&, int64_t scale, ConstView weights) override {
    mixtures[scale] = Cast(weights, DType::kF32);
  }
  std::unique_ptr<ScaleModel> Fork(std::span<const int64_t> pictures) const override {
    auto fork = std::make_unique<KnownModel>(std::vector<uint64_t>());
    for (const int64_t picture : pictures) {
      fork->identities_.push_back(identities_[static_cast<size_t>(picture)]);
      fork->sums_.push_back(sums_[static_cast<size_t>(picture)]);
    }
    return fork;
  }

  int64_t skipped = -1;
  std::vector<int64_t> rows_asked;
  std::map<int64_t, Tensor> mixtures;

 private:
  std::vector<uint64_t> identities_;
  std::vector<uint64_t> sums_;
};

Tensor NoTokens(int64_t pictures) {
  Tensor tokens({pictures, 14}, DType::kI32);
  std::fill_n(tokens.MutableData<int32_t>(), tokens.shape().numel(), -1);
  return tokens;
}

Tensor SampleAll(ScaleModel& model, const NextScaleOptions& options, const TokenNoise& noise,
                 const GivenTokens& given = {}) {
  TestContext test;
  Tensor tokens = NoTokens(model.pictures());
  SampleNextScale(test.ctx, {.model = model,
                             .options = options,
                             .noise = noise,
                             .tokens = tokens.mutable_view(),
                             .given = given});
  return tokens;
}

TEST(NextScale, GuidanceRampsFromNothing) {
  EXPECT_EQ(RampedGuidance(1.5, 4), (std::vector<double>{1, 1.5, 2, 2.5}));
  EXPECT_EQ(RampedGuidance(4, 1), (std::vector<double>{1}));
}

class GuidedLogitsTap : public Tap {
 public:
  void Record(std::string_view name, ConstView value) override {
    if (name == "guided_logits") logits.push_back(Cast(value, DType::kF32));
  }
  std::vector<Tensor> logits;
};

TEST(NextScale, MixesAndDividesLogits) {
  KnownModel model({3});
  const PhiloxTokenNoise noise({1});
  const NextScaleOptions options = {.guidance = {1, 2.5, 1}, .temperature = {1, 0.5, 2}};
  TestContext test;
  GuidedLogitsTap tap;
  test.ctx.tap = &tap;
  Tensor tokens = NoTokens(1);
  SampleNextScale(
      test.ctx,
      {.model = model, .options = options, .noise = noise, .tokens = tokens.mutable_view()});
  EXPECT_EQ(model.rows_asked, (std::vector<int64_t>{1, 2, 1})) << "only guided scales ask for both";
  // The second scale again, by hand.
  const uint64_t sum = static_cast<uint64_t>(tokens.Data<int32_t>()[0]) + 1;
  Tensor conditional({4, kValues}, DType::kF32);
  Tensor unconditional({4, kValues}, DType::kF32);
  FillNormal(conditional.mutable_view(), 3, sum * 8 + 2);
  FillNormal(unconditional.mutable_view(), 3, sum * 8 + 3);
  for (int i = 0; i < 4 * kValues; ++i) {
    const float c = conditional.Data<float>()[i];
    const float u = unconditional.Data<float>()[i];
    EXPECT_NEAR(tap.logits[1].Data<float>()[i], (2.5f * c - 1.5f * u) / 0.5f, 1e-5);
  }
}

TEST(NextScale, DrawsByTheUniformsOfEachToken) {
  Tensor uniforms({1, 14}, DType::kF32);
  KnownModel model({3});
  const auto sample = [&] { return SampleAll(model, {}, ReplayTokenNoise(uniforms, Tensor())); };
  const Tensor zeros = sample();
  for (int i = 0; i < 14; ++i) EXPECT_EQ(zeros.Data<int32_t>()[i], 0) << "u = 0: the first code";
  uniforms.MutableData<float>()[13] = 0.999999f;
  const Tensor last = sample();
  EXPECT_EQ(last.Data<int32_t>()[13], kValues - 1);
  EXPECT_EQ(last.Data<int32_t>()[12], 0);
}

TEST(NextScale, APictureDoesNotDependOnItsBatch) {
  KnownModel both({3, 4});
  KnownModel one({4});
  const NextScaleOptions options = {.guidance = RampedGuidance(2, 3), .top_k = 5, .top_p = 0.9};
  const Tensor two = SampleAll(both, options, PhiloxTokenNoise({10, 20}));
  const Tensor alone = SampleAll(one, options, PhiloxTokenNoise({20}));
  EXPECT_TRUE(SameBits(two.view().Slice(0, 1, 2), alone));
  const Tensor other = SampleAll(one, options, PhiloxTokenNoise({21}));
  EXPECT_FALSE(SameBits(alone, other));
}

TEST(NextScale, AForkedRunGoesOnLikeASeparateOne) {
  const NextScaleOptions options = {.guidance = RampedGuidance(2, 3)};
  KnownModel model({3, 4});
  const PhiloxTokenNoise noise({10, 20});
  const Tensor want = SampleAll(model, options, noise);
  TestContext test;
  Tensor begun = NoTokens(2);
  model.Begin(test.ctx);
  SampleScales(test.ctx,
               {.model = model, .options = options, .noise = noise, .tokens = begun.mutable_view()},
               0, 2);
  const std::array<int64_t, 2> pictures = {1, 1};
  const std::unique_ptr<ScaleModel> fork = model.Fork(pictures);
  const PhiloxTokenNoise fork_noise({20, 99});
  Tensor rest = NoTokens(2);
  SampleScales(
      test.ctx,
      {.model = *fork, .options = options, .noise = fork_noise, .tokens = rest.mutable_view()}, 2,
      3);
  EXPECT_TRUE(SameBits(Cast(rest.view().Slice(0, 0, 1).Slice(1, 5, 14), DType::kI32),
                       Cast(want.view().Slice(0, 1, 2).Slice(1, 5, 14), DType::kI32)));
  EXPECT_FALSE(SameBits(Cast(rest.view().Slice(0, 1, 2).Slice(1, 5, 14), DType::kI32),
                        Cast(want.view().Slice(0, 1, 2).Slice(1, 5, 14), DType::kI32)));
}

TEST(NextScale, GivenTokensStayWhereTheMaskKeepsThem) {
  KnownModel model({3});
  Tensor tokens({1, 14}, DType::kI32);
  std::fill_n(tokens.MutableData<int32_t>(), 14, 6);
  Tensor keep({1, 14}, DType::kI32);
  keep.MutableData<int32_t>()[0] = 1;
  keep.MutableData<int32_t>()[7] = 1;
  const Tensor uniforms({1, 14}, DType::kF32);
  const ReplayTokenNoise noise(uniforms, RandomTensor({1, 14, kValues}, 1));
  const Tensor got = SampleAll(model, {}, noise, {.tokens = tokens, .keep = keep});
  for (int i = 0; i < 14; ++i) EXPECT_EQ(got.Data<int32_t>()[i], i == 0 || i == 7 ? 6 : 0) << i;
  SampleAll(model, {.more_smooth = true}, noise, {.tokens = tokens, .keep = keep});
  const float* weights = model.mixtures[2].Data<float>() + 2 * kValues;  // token 7
  for (int v = 0; v < kValues; ++v) EXPECT_EQ(weights[v], v == 6 ? 1 : 0);
  tokens.MutableData<int32_t>()[7] = kValues;
  ExpectError(ErrorKind::kUsage, "given token 7 is none of the model's 0 to 6",
              [&] { SampleAll(model, {}, noise, {.tokens = tokens, .keep = keep}); });
}

TEST(NextScale, SmoothMixturesSharpenFromScaleToScale) {
  KnownModel model({3});
  SampleAll(model, {.more_smooth = true}, PhiloxTokenNoise({1}));
  const auto sharpness = [&](int64_t scale) {
    const Tensor& weights = model.mixtures[scale];
    double squares = 0;
    double sum = 0;
    for (int64_t i = 0; i < weights.shape().numel(); ++i) {
      const double weight = weights.Data<float>()[i];
      squares += weight * weight;
      sum += weight;
    }
    EXPECT_NEAR(sum, static_cast<double>(weights.shape()[1]), 1e-4);
    return squares / sum;
  };
  EXPECT_GT(sharpness(2), 0.9);
  EXPECT_EQ(model.mixtures.size(), 3u);
}

TEST(NextScale, SkippedScalesAreNotAskedForAndKeepTheirPlace) {
  KnownModel model({3});
  model.skipped = 1;
  std::vector<int64_t> seen;
  TestContext test;
  Tensor tokens = NoTokens(1);
  const NextScaleOptions options;
  const PhiloxTokenNoise noise({1});
  SampleNextScale(test.ctx, {.model = model,
                             .options = options,
                             .noise = noise,
                             .tokens = tokens.mutable_view(),
                             .observer = [&](const NextScaleStep& step) {
                               seen.push_back(step.scale);
                               EXPECT_EQ(step.tokens.shape, Shape({1, model.tokens(step.scale)}));
                             }});
  EXPECT_EQ(seen, (std::vector<int64_t>{0, 2}));
  for (int i = 0; i < 14; ++i) EXPECT_EQ(tokens.Data<int32_t>()[i] == -1, i >= 1 && i < 5) << i;
}

TEST(NextScale, GumbelNoiseHasItsDistribution) {
  const PhiloxTokenNoise noise({1, 2});
  Tensor gumbel({2, 50, 400}, DType::kF32);
  noise.Gumbel(3, gumbel.mutable_view());
  double sum = 0;
  double squares = 0;
  for (int64_t i = 0; i < gumbel.shape().numel(); ++i) {
    const double value = gumbel.Data<float>()[i];
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(gumbel.shape().numel());
  EXPECT_NEAR(sum / count, 0.5772, 0.03);
  EXPECT_NEAR(squares / count - sum * sum / count / count, 1.6449, 0.06);
  Tensor later({2, 1, 400}, DType::kF32);
  noise.Gumbel(4, later.mutable_view());
  EXPECT_TRUE(SameBits(later.view().Slice(0, 0, 1), gumbel.view().Slice(0, 0, 1).Slice(1, 1, 2)));
}

TEST(NextScaleErrors, NameTheSetting) {
  KnownModel model({3});
  const PhiloxTokenNoise noise({1});
  ExpectError(ErrorKind::kUsage, "guidance has 2 values for 3 scales", [&] {
    SampleAll(model, {.guidance = {1, 2}}, noise);
  });
  ExpectError(ErrorKind::kUsage, "temperature 0 is not positive", [&] {
    SampleAll(model, {.temperature = {1, 0, 1}}, noise);
  });
  ExpectError(ErrorKind::kShape, "recorded uniform numbers [1, 4] do not reach to choice 5", [&] {
    SampleAll(model, {}, ReplayTokenNoise(Tensor({1, 4}, DType::kF32), Tensor()));
  });
}

}  // namespace
}  // namespace gesso
