// VAR beyond its parity cases: what must not change the result (hooks that decide nothing, forks,
// threads, the batch), text conditioning, and what does not fit.
#include <algorithm>
#include <array>

#include "kernels/core/parallel.h"
#include "models/nn/load.h"
#include "models/var/session.h"
#include "tests/support/fake_backend.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::var {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

constexpr int64_t kCodes = 11;
constexpr int64_t kCodeWidth = 6;

Json SmallConfig(bool shared = false) {
  Json config = Json::parse(R"({"depth": 3, "embed_dim": 24, "num_heads": 3, "num_classes": 5,
                                "patch_nums": [1, 2, 3]})");
  config["shared_aln"] = shared;
  return config;
}

Json TextConfigOf() {
  Json config = SmallConfig();
  config["text"] = {{"dim", 10}};
  return config;
}

Json MvarConfig() {
  Json config = SmallConfig();
  config["mamba"] = {{"d_state", 4}, {"headdim", 8}};
  return config;
}

// Random weights that fit; `l2_norm` decides whether they hold scale_mul_1H11.
Weights SmallWeights(const Json& json, bool l2_norm = true) {
  Weights sizes;
  sizes.path = "sizes";
  sizes.tensors["head.weight"] = Tensor({kCodes, 24}, DType::kF32);
  sizes.tensors["word_embed.weight"] = Tensor({24, kCodeWidth}, DType::kF32);
  if (l2_norm) {
    sizes.tensors["blocks.0.attn.scale_mul_1H11"] = Tensor({1, 3, 1, 1}, DType::kF32);
  }
  Model model(ParseConfig(json, sizes));
  Weights weights = RandomWeights(model, 5);
  // Biases and offsets of a size that leaves the input visible.
  for (auto& [name, tensor] : weights.tensors) {
    if (tensor.shape().rank() == 2) continue;
    for (int64_t i = 0; i < tensor.shape().numel(); ++i) tensor.MutableData<float>()[i] *= 0.3f;
  }
  return weights;
}

std::shared_ptr<const Model> LoadAs(const Json& config, const Weights& weights,
                                    DType dtype = DType::kF32) {
  return Load(weights, ParseConfig(config, weights), Device::kCpu, dtype);
}

std::shared_ptr<const Model> SmallModel(bool shared = false) {
  return LoadAs(SmallConfig(shared), SmallWeights(SmallConfig(shared)));
}

Tensor Labels(std::vector<int32_t> labels) {
  Tensor tensor({static_cast<int64_t>(labels.size())}, DType::kI32);
  std::ranges::copy(labels, tensor.MutableData<int32_t>());
  return tensor;
}

struct TestBed {
  Arena arena{Device::kCpu, size_t{16} << 20};
  Context ctx{.device = Device::kCpu, .arena = &arena};

  // Logits of one scale of all rows; the input depends on scale and `seed` alone.
  Tensor Forward(Session& session, int64_t scale, int64_t pictures, uint32_t seed = 0) {
    const int64_t tokens = session.model().map(scale).tokens();
    const Tensor input =
        RandomTensor({pictures, tokens, kCodeWidth}, seed + static_cast<uint32_t>(scale));
    Tensor logits({session.rows(), tokens, kCodes}, DType::kF32);
    session.Forward(ctx, scale, scale == 0 ? ConstView() : input.view(), logits.mutable_view());
    return logits;
  }
};

// Decides nothing, but is asked everything; watches the branches of layer `watched`.
class Observer : public Hooks {
 public:
  explicit Observer(int64_t watched) : watched_(watched) {}

  std::unique_ptr<Hooks> Fork(std::span<const int64_t>) const override {
    return std::make_unique<Observer>(watched_);
  }
  bool WantsBranch(const Site& site) const override { return site.layer == watched_; }
  void SeeBranch(Context&, const Site&, ConstView) override { ++seen; }
  int seen = 0;

 private:
  int64_t watched_;
};

TEST(Var, HooksThatDecideNothingChangeNoBit) {
  // Cross-attention that is watched adds its residual in another place, which rounds otherwise.
  for (const auto& [text, watched] :
       {std::pair(false, -1), std::pair(false, 1), std::pair(true, -1)}) {
    const Json config = text ? TextConfigOf() : SmallConfig();
    const auto model = LoadAs(config, SmallWeights(config));
    const Tensor labels = Labels({1, 5});
    const Tensor states = RandomTensor({2, 4, 10}, 1);
    Tensor mask({2, 4}, DType::kI32);
    std::fill_n(mask.MutableData<int32_t>(), 8, 1);
    const Conditioning conditioning =
        text ? Conditioning{.text = states, .mask = mask} : Conditioning{.labels = labels};
    auto observer = std::make_unique<Observer>(watched);
    const Observer& asked = *observer;
    Session plain(model, 2);
    Session hooked(model, 2, std::move(observer));
    TestBed run;
    plain.Begin(run.ctx, conditioning);
    hooked.Begin(run.ctx, conditioning);
    for (int64_t scale = 0; scale < 3; ++scale) {
      const Tensor want = run.Forward(plain, scale, 1);
      EXPECT_TRUE(SameBits(run.Forward(hooked, scale, 1), want)) << scale;
    }
    EXPECT_EQ(asked.seen, watched == 1 ? 3 * 2 : 0);
  }
}

// A device plays what it recorded over the same memory.
TEST(Var, KeepsTheMemoryOfItsKeysOnlyWhereADeviceRecords) {
  const auto model = SmallModel();
  const auto bytes_after_last = [&] {
    TestBed run;
    Session session(model, 1);
    const Tensor labels = Labels({2});
    session.Begin(run.ctx, {.labels = labels});
    for (int64_t scale = 0; scale < 3; ++scale) run.Forward(session, scale, 1);
    EXPECT_EQ(session.stays(), CurrentBackend() != nullptr);
    return session.CacheBytes();
  };
  if (CurrentBackend() == nullptr) {
    EXPECT_EQ(bytes_after_last(), 0U);
  }
  WithFakeBackend([&](FakeBackend&) { EXPECT_GT(bytes_after_last(), 0U); });
}

TEST(Var, AForkGoesOnLikeTheOriginal) {
  for (const Json& config : {SmallConfig(), SmallConfig(true), MvarConfig()}) {
    const auto model = LoadAs(config, SmallWeights(config));
    const Tensor labels = Labels({2, 4, 5, 5});
    TestBed run;
    Session session(model, 4);
    session.Begin(run.ctx, {.labels = labels});
    run.Forward(session, 0, 2);
    run.Forward(session, 1, 2);
    // Picture 1 three times: its conditional and its unconditional row.
    const std::array<int64_t, 6> rows = {1, 1, 1, 3, 3, 3};
    Session fork = session.Fork(rows);
    const Tensor want = run.Forward(session, 2, 2, 9);
    const Tensor input = RandomTensor({2, 9, kCodeWidth}, 11);  // what `want` saw
    const std::array<int64_t, 3> pictures = {1, 1, 1};
    Tensor inputs({3, 9, kCodeWidth}, DType::kF32);
    for (size_t i = 0; i < pictures.size(); ++i) {
      std::copy_n(input.Data<float>() + 9 * kCodeWidth, 9 * kCodeWidth,
                  inputs.MutableData<float>() + static_cast<int64_t>(i) * 9 * kCodeWidth);
    }
    Tensor got({6, 9, kCodes}, DType::kF32);
    fork.Forward(run.ctx, 2, inputs, got.mutable_view());
    for (size_t row = 0; row < rows.size(); ++row) {
      const auto at = static_cast<int64_t>(row);
      EXPECT_TRUE(
          SameBits(got.view().Slice(0, at, at + 1), want.view().Slice(0, rows[row], rows[row] + 1)))
          << row;
    }
  }
}

TEST(Var, ThreadsAndBatchChangeNoBit) {
  const auto model = SmallModel();
  const Tensor both = Labels({2, 3});
  const Tensor one = Labels({3});
  TestBed run;
  const int threads = NumThreads();
  std::vector<Tensor> logits;
  for (const int count : {1, 2}) {
    SetNumThreads(count);
    Session session(model, 2);
    session.Begin(run.ctx, {.labels = both});
    run.Forward(session, 0, 1);
    logits.push_back(run.Forward(session, 1, 1));
  }
  SetNumThreads(threads);
  EXPECT_TRUE(SameBits(logits[0], logits[1]));
  Session single(model, 1);
  single.Begin(run.ctx, {.labels = one});
  run.Forward(single, 0, 1);
  EXPECT_TRUE(SameBits(run.Forward(single, 1, 1), logits[0].view().Slice(0, 1, 2)));
}

TEST(Var, LooksAtItsTextAndNotAtPadding) {
  const Json config = TextConfigOf();
  const auto model = LoadAs(config, SmallWeights(config));
  Tensor mask({1, 3}, DType::kI32);
  std::fill_n(mask.MutableData<int32_t>(), 2, 1);
  TestBed run;
  const auto last = [&](const Tensor& text) {
    Session session(model, 1);
    session.Begin(run.ctx, {.text = text, .mask = mask});
    run.Forward(session, 0, 1);
    return run.Forward(session, 1, 1);
  };
  Tensor text = RandomTensor({1, 3, 10}, 3);
  const Tensor want = last(text);
  text.MutableData<float>()[2 * 10] += 5;  // behind the mask
  EXPECT_TRUE(SameBits(last(text), want));
  text.MutableData<float>()[0] += 5;
  EXPECT_FALSE(SameBits(last(text), want));
}

TEST(Var, BFloat16IsClose) {
  const auto full = SmallModel();
  const auto half = LoadAs(SmallConfig(), SmallWeights(SmallConfig()), DType::kBF16);
  const Tensor labels = Labels({0});
  TestBed run;
  std::vector<Tensor> logits;
  for (const auto& model : {full, half}) {
    Session session(model, 1);
    session.Begin(run.ctx, {.labels = labels});
    run.Forward(session, 0, 1);
    logits.push_back(run.Forward(session, 1, 1));
  }
  EXPECT_LT(RmsError(logits[1], logits[0]), 3e-2);
}

TEST(Var, TheArenaIsAsLargeAsSaid) {
  const auto model = SmallModel();
  const Tensor labels = Labels({2, 5});
  Session session(model, 2);
  TestBed run;
  run.arena.Alloc({1}, DType::kF32);
  const size_t bytes = session.ArenaBytes({.labels = labels});
  Arena arena(Device::kCpu, bytes);
  run.ctx.arena = &arena;
  session.Begin(run.ctx, {.labels = labels});
  for (int64_t scale = 0; scale < 3; ++scale) run.Forward(session, scale, 1);
  EXPECT_EQ(arena.peak_bytes(), bytes);
}

TEST(Var, SkipsBuffersAndReadsTheNormOffTheWeights) {
  const Json config = SmallConfig();
  Weights weights = SmallWeights(config, false);
  weights.tensors["lvl_1L"] = Tensor({1, 14}, DType::kI64);
  weights.tensors["attn_bias_for_masking"] = Tensor({1, 1, 14, 14}, DType::kF32);
  weights.tensors["blocks.1.attn.zero_k_bias"] = Tensor({24}, DType::kF32);
  EXPECT_FALSE(LoadAs(config, weights)->config.l2_norm);
  EXPECT_TRUE(SmallModel()->config.l2_norm);
  Json contradicting = config;
  contradicting["attn_l2_norm"] = true;
  ExpectError(ErrorKind::kConfig, "weights lack blocks.0.attn.scale_mul_1H11",
              [&] { LoadAs(contradicting, weights); });
  weights.tensors.erase("pos_start");
  ExpectError(ErrorKind::kFormat, "missing: pos_start", [&] { LoadAs(config, weights); });
}

TEST(VarErrors, NameWhatIsWrong) {
  const auto model = SmallModel();
  TestBed run;
  Session session(model, 1);
  Tensor logits({1, 1, kCodes}, DType::kF32);
  ExpectError(ErrorKind::kUsage, "scale 0 of 3 asked for",
              [&] { session.Forward(run.ctx, 0, {}, logits.mutable_view()); });
  const Tensor label = Labels({6});
  ExpectError(ErrorKind::kUsage, "class 6 does not exist: the model knows 0 to 4, and 5 for none",
              [&] { session.Begin(run.ctx, {.labels = label}); });
  ExpectError(ErrorKind::kUsage, "conditioned on class labels",
              [&] { session.Begin(run.ctx, {}); });
  const Tensor fine = Labels({0});
  session.Begin(run.ctx, {.labels = fine});
  session.Forward(run.ctx, 0, {}, logits.mutable_view());
  ExpectError(ErrorKind::kUsage, "scale 0 of 3 asked for, but 1 is next",
              [&] { session.Forward(run.ctx, 0, {}, logits.mutable_view()); });
  Json config = SmallConfig();
  config["patch_nums"] = {1, 0};
  ExpectError(ErrorKind::kConfig, "'patch_nums' has a side of 0",
              [&] { LoadAs(config, SmallWeights(SmallConfig())); });
  config["patch_nums"] = {1, 2, 4};
  ExpectError(ErrorKind::kFormat, "has 14 positions, but the patch_nums of its config make 21",
              [&] { LoadAs(config, SmallWeights(SmallConfig())); });
  config = SmallConfig();
  config["depth"] = 4;
  ExpectError(ErrorKind::kFormat, "has 3 blocks, but a VAR of depth 4",
              [&] { LoadAs(config, SmallWeights(SmallConfig())); });
}

}  // namespace
}  // namespace gesso::var
