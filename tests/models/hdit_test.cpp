// The Hourglass Diffusion Transformer beyond its parity cases: what does not fit, and what must
// not change the result. Values themselves: tests/pipelines/parity_test.cpp.
#include <array>
#include <limits>

#include "kernels/core/parallel.h"
#include "models/hdit/session.h"
#include "models/nn/load.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::hdit {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// Small, but with every kind of block: windows, neighborhoods, text, classes, mapping condition.
Json SmallConfig() {
  return Json::parse(R"({
    "model": {
      "type": "image_transformer_v2", "input_channels": 3, "input_size": [32, 48],
      "patch_size": [2, 4], "depths": [1, 1, 2], "widths": [16, 24, 32], "mapping_width": 12,
      "mapping_cond_dim": 5, "cross_attn_dim": 6,
      "self_attns": [{"type": "shifted-window", "d_head": 8, "window_size": 4},
                     {"type": "neighborhood", "d_head": 8, "kernel_size": 3},
                     {"type": "global", "d_head": 16}],
      "cross_attns": [null, {"type": "text", "d_head": 12}, {"type": "text", "d_head": 16}],
      "sigma_data": 0.5, "sigma_min": 0.01, "sigma_max": 80},
    "dataset": {"num_classes": 4}})");
}

Weights SmallWeights() {
  Model model(ParseConfig(SmallConfig()));
  return RandomWeights(model, 7);
}

std::shared_ptr<const Model> SmallModel(DType dtype = DType::kF32) {
  return Load(SmallWeights(), SmallConfig(), Device::kCpu, dtype);
}

Tensor Classes(std::vector<int32_t> ids) {
  Tensor tensor({static_cast<int64_t>(ids.size())}, DType::kI32);
  std::ranges::copy(ids, tensor.MutableData<int32_t>());
  return tensor;
}

// Inputs for two pictures; the second text is one token shorter.
struct Inputs {
  Tensor x = RandomTensor({2, 3, 32, 48}, 1);
  std::array<double, 2> sigma = {0.3, 20};
  Tensor classes = Classes({1, 4});
  Tensor mapping_cond = RandomTensor({2, 5}, 2);
  Tensor context = RandomTensor({2, 3, 6}, 3);
  Tensor mask = Tensor({2, 3}, DType::kI32);

  Inputs() {
    std::fill_n(mask.MutableData<int32_t>(), 6, 1);
    mask.MutableData<int32_t>()[5] = 0;
  }
  // Those of pictures begin .. end - 1.
  Conditioning Conditions(int64_t begin = 0, int64_t end = 2) const {
    return {.aug_cond = {},
            .class_cond = classes.view().Slice(0, begin, end),
            .mapping_cond = mapping_cond.view().Slice(0, begin, end),
            .context = context.view().Slice(0, begin, end),
            .context_mask = mask.view().Slice(0, begin, end)};
  }
};

Tensor Evaluate(const std::shared_ptr<const Model>& model, ConstView x,
                std::span<const double> sigma, const Conditioning& conditioning) {
  Session session(model, x.shape);
  Arena arena(Device::kCpu, session.ArenaBytes(conditioning));
  Context ctx{.device = Device::kCpu, .arena = &arena};
  session.Condition(ctx, conditioning);
  Tensor out(x.shape, DType::kF32);
  session.Forward(ctx, x, sigma, out.mutable_view());
  EXPECT_EQ(arena.peak_bytes(), arena.capacity_bytes()) << "the dry run and the real one differ";
  return out;
}

TEST(Hdit, PicturesOfABatchDoNotTouchEachOther) {
  const auto model = SmallModel();
  const Inputs inputs;
  const Tensor both = Evaluate(model, inputs.x, inputs.sigma, inputs.Conditions());
  for (int64_t b = 0; b < 2; ++b) {
    const auto sigma = std::span(inputs.sigma).subspan(static_cast<size_t>(b), 1);
    const Tensor alone =
        Evaluate(model, inputs.x.view().Slice(0, b, b + 1), sigma, inputs.Conditions(b, b + 1));
    EXPECT_LT(RmsError(Cast(both.view().Slice(0, b, b + 1), DType::kF32), alone), 1e-5) << b;
  }
}

TEST(Hdit, EveryConditionMatters) {
  const auto model = SmallModel();
  const Inputs inputs;
  const Tensor plain = Evaluate(model, inputs.x, inputs.sigma, inputs.Conditions());
  const Tensor augmented = RandomTensor({2, 9}, 9);
  const Tensor classes = Classes({2, 3});
  const Tensor mapping_cond = RandomTensor({2, 5}, 10);
  const Tensor context = RandomTensor({2, 3, 6}, 11);
  std::array<Conditioning, 4> others = {inputs.Conditions(), inputs.Conditions(),
                                        inputs.Conditions(), inputs.Conditions()};
  others[0].aug_cond = augmented;
  others[1].class_cond = classes;
  others[2].mapping_cond = mapping_cond;
  others[3].context = context;
  for (const Conditioning& other : others) {
    EXPECT_GT(RmsError(Evaluate(model, inputs.x, inputs.sigma, other), plain), 1e-3);
  }
  const std::array<double, 2> sigma = {0.4, 25};
  EXPECT_GT(RmsError(Evaluate(model, inputs.x, sigma, inputs.Conditions()), plain), 1e-3);
}

TEST(Hdit, MaskedTokensDoNotMatter) {
  const auto model = SmallModel();
  Inputs inputs;
  const Tensor before = Evaluate(model, inputs.x, inputs.sigma, inputs.Conditions());
  for (int i = 0; i < 6; ++i) inputs.context.MutableData<float>()[5 * 6 + i] = 100;
  EXPECT_TRUE(SameBits(Evaluate(model, inputs.x, inputs.sigma, inputs.Conditions()), before));
}

TEST(Hdit, ThreadsDoNotChangeTheResult) {
  const auto model = SmallModel();
  const Inputs inputs;
  const int threads = NumThreads();
  SetNumThreads(1);
  const Tensor one = Evaluate(model, inputs.x, inputs.sigma, inputs.Conditions());
  SetNumThreads(3);
  const Tensor three = Evaluate(model, inputs.x, inputs.sigma, inputs.Conditions());
  SetNumThreads(threads);
  EXPECT_TRUE(SameBits(one, three));
}

TEST(Hdit, BFloat16StaysClose) {
  const Inputs inputs;
  const Tensor full = Evaluate(SmallModel(), inputs.x, inputs.sigma, inputs.Conditions());
  const Tensor half =
      Evaluate(SmallModel(DType::kBF16), inputs.x, inputs.sigma, inputs.Conditions());
  EXPECT_LT(RmsError(half, full), 3e-2);
  EXPECT_GT(RmsError(half, full), 1e-5);
}

TEST(HditSession, NamesTheSizesThatFit) {
  const auto model = SmallModel();
  ExpectError(ErrorKind::kUsage, "the width must be a multiple of 16, the height of 8", [&] {
    Session(model, {1, 3, 32, 40});
  });
  ExpectError(ErrorKind::kUsage, "multiple", [&] { Session(model, {1, 3, 0, 48}); });
  ExpectError(ErrorKind::kUsage, "the smallest picture is 32 x 16", [&] {
    Session(model, {1, 3, 8, 16});
  });
  ExpectError(ErrorKind::kUsage, "the width must be a multiple of 32, the height of 16", [&] {
    Json json = SmallConfig();
    json["model"]["self_attns"][0]["window_size"] = 8;
    Model other(ParseConfig(json));
    Session(Load(RandomWeights(other, 1), json, Device::kCpu, DType::kF32), {1, 3, 24, 48});
  });
  ExpectError(ErrorKind::kShape, "[B, 3, H, W]", [&] { Session(model, {1, 4, 32, 48}); });
  ExpectError(ErrorKind::kUsage, "too many", [&] {
    Session(model, {std::numeric_limits<int64_t>::max() / 2, 3, 32, 48});
  });
}

TEST(HditSession, NamesTheConditionThatDoesNotFit) {
  const auto model = SmallModel();
  const Inputs inputs;
  Session session(model, {2, 3, 32, 48});
  Arena arena(Device::kCpu, session.ArenaBytes(inputs.Conditions()));
  Context ctx{.device = Device::kCpu, .arena = &arena};
  const auto expect = [&](ErrorKind kind, const std::string& part, const Conditioning& bad) {
    ExpectError(kind, part, [&] { session.Condition(ctx, bad); });
  };
  Conditioning bad = inputs.Conditions();
  bad.class_cond = {};
  expect(ErrorKind::kUsage, "needs class_cond", bad);
  bad = inputs.Conditions();
  bad.context = {};
  bad.context_mask = {};
  expect(ErrorKind::kUsage, "needs context", bad);
  bad = inputs.Conditions();
  bad.mapping_cond = inputs.context;
  expect(ErrorKind::kShape, "mapping_cond", bad);
  bad = inputs.Conditions();
  bad.context_mask = inputs.classes;
  expect(ErrorKind::kShape, "context_mask", bad);
  const Tensor no_such_class = Classes({5, 0});
  bad = inputs.Conditions();
  bad.class_cond = no_such_class;
  expect(ErrorKind::kShape, "5", bad);
  Tensor out({2, 3, 32, 48}, DType::kF32);
  ExpectError(ErrorKind::kUsage, "Condition", [&] {
    Session(model, {2, 3, 32, 48}).Forward(ctx, inputs.x, inputs.sigma, out.mutable_view());
  });
}

TEST(HditLoad, NamesTheTensorsThatDoNotFit) {
  const auto load = [](const Weights& weights, const Json& config) {
    Load(weights, config, Device::kCpu, DType::kF32);
  };
  Weights weights = SmallWeights();
  weights.tensors.erase("merges.1.proj.weight");
  ExpectError(ErrorKind::kFormat, "missing: merges.1.proj.weight",
              [&] { load(weights, SmallConfig()); });
  Json deeper = SmallConfig();
  deeper["model"]["depths"] = {1, 2, 2};
  ExpectError(ErrorKind::kFormat, "missing: down_levels.1.1.cross_attn.kv_proj.weight",
              [&] { load(SmallWeights(), deeper); });
  deeper["model"]["depths"] = {1, 0, 2};
  ExpectError(ErrorKind::kFormat, "unexpected: down_levels.1.0.cross_attn.kv_proj.weight",
              [&] { load(SmallWeights(), deeper); });
  weights = SmallWeights();
  weights.tensors["patch_in.proj.weight"] = Tensor({16, 25}, DType::kF32);
  ExpectError(ErrorKind::kFormat, "patch_in.proj.weight: expected [16, 24], got [16, 25]",
              [&] { load(weights, SmallConfig()); });
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const char* name : {"mid_level.1.ff.up_proj.weight", "out_norm.scale",
                             "up_levels.0.0.ff.norm.linear.weight"}) {
      weights = SmallWeights();
      weights.tensors[name].MutableData<float>()[3] = bad;
      ExpectError(ErrorKind::kFormat, std::string(name) + ": holds NaN or infinite values",
                  [&] { load(weights, SmallConfig()); });
    }
  }
  weights = SmallWeights();
  weights.tensors["out_norm.scale"] = Tensor({16}, DType::kI32);
  ExpectError(ErrorKind::kFormat, "out_norm.scale: expected floating-point",
              [&] { load(weights, SmallConfig()); });
}

TEST(HditLoad, TakesHalfPrecisionCheckpoints) {
  const Inputs inputs;
  Weights weights = SmallWeights();
  for (auto& [name, tensor] : weights.tensors) tensor = Cast(tensor, DType::kBF16);
  const auto model = Load(weights, SmallConfig(), Device::kCpu, DType::kF32);
  Weights widened = weights;
  for (auto& [name, tensor] : widened.tensors) tensor = Cast(tensor, DType::kF32);
  const auto same = Load(widened, SmallConfig(), Device::kCpu, DType::kF32);
  EXPECT_TRUE(SameBits(Evaluate(model, inputs.x, inputs.sigma, inputs.Conditions()),
                       Evaluate(same, inputs.x, inputs.sigma, inputs.Conditions())));
}

}  // namespace
}  // namespace gesso::hdit
