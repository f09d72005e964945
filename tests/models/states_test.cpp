// What next-scale sessions keep from picture to picture where a device records their passes.
#include "models/next_scale/states.h"

#include "models/var/model.h"
#include "tests/support/fake_backend.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::next_scale {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

constexpr int64_t kScaleTokens[] = {1, 3, 4};

// Pictures whose passes only write down what they are told: a scale's keys are numbers that lie in
// `told` when the device comes to them.
struct Recorded {
  explicit Recorded(FakeBackend& b)
      : backend(b), blocks(2, Block(Config())), states(blocks, 1, nullptr) {
    ctx.device = Device::kCuda;
    ctx.arena = &arena;
  }
  static BlockConfig Config() {
    return {.attention = {.width = 4, .heads = 2}, .ff_width = 8, .norm_eps = 1e-6f};
  }

  void Picture(float first) {
    states.ReserveKeys(nullptr, 2, 2, 4, DType::kF32);
    for (int64_t scale = 0; scale < 3; ++scale) Pass(scale, first + static_cast<float>(scale));
  }

  void Pass(int64_t scale, float number) {
    const Arena::Scope scope(arena);
    const int64_t tokens = kScaleTokens[scale];
    const View logits = arena.Alloc({1, tokens, 8}, DType::kF32);
    *static_cast<float*>(told.mutable_view().data) = number;
    states.Run(ctx, scale, told, logits, [&] {
      ++host_runs;
      for (int64_t layer = 0; layer < 2; ++layer) {
        nn::KvCache& cache = *states.Of(layer, {}).cache;
        if (scale == 2) continue;  // the last one's have no room
        const nn::KvCache::Extension all = cache.Extend(ctx, tokens);
        const View keys = all.NewKeys(tokens);
        backend.Launch([keys, from = static_cast<const float*>(told.view().data)] {
          for (int64_t t = 0; t < keys.shape[1]; ++t) {
            static_cast<float*>(keys.data)[t * keys.strides[1]] = *from;
          }
        });
        cache.Keep(all, {}, Device::kCuda);
      }
    });
  }

  std::vector<float> Keys(int64_t layer) {
    nn::KvCache& cache = *states.Of(layer, {}).cache;
    const ConstView keys = cache.Extend(ctx, 0).keys;
    std::vector<float> numbers;
    for (int64_t t = 0; t < cache.size(); ++t) {
      numbers.push_back(static_cast<const float*>(keys.data)[t * keys.strides[1]]);
    }
    return numbers;
  }

  FakeBackend& backend;
  Arena arena{Device::kCuda, 4096};
  Context ctx;
  Tensor told = Tensor({1}, DType::kF32);
  std::vector<Block> blocks;
  States states;
  int host_runs = 0;
};

TEST(NextScaleStates, PlayedPassesHoldWhatTheyWrote) {
  WithFakeBackend([](FakeBackend& backend) {
    Recorded run(backend);
    for (const float first : {10.0f, 20.0f, 30.0f, 40.0f}) {
      run.Picture(first);
      for (int64_t layer = 0; layer < 2; ++layer) {
        EXPECT_EQ(run.Keys(layer), (std::vector<float>{first, first + 1, first + 1, first + 1}));
      }
    }
    EXPECT_EQ(run.host_runs, 2 * 3);
    EXPECT_EQ(backend.recordings, 3);
    EXPECT_EQ(backend.plays(), 3 * 3);
  });
}

TEST(NextScaleStates, BeginAPassAnewThatCouldNotBeRecorded) {
  WithFakeBackend([](FakeBackend& backend) {
    backend.refuses = ErrorKind::kDevice;
    Recorded run(backend);
    for (const float first : {10.0f, 20.0f, 30.0f}) {
      run.Picture(first);
      EXPECT_EQ(run.Keys(0), (std::vector<float>{first, first + 1, first + 1, first + 1}));
    }
    EXPECT_EQ(run.host_runs, 4 * 3);
  });
}

TEST(NextScaleStates, ForgetWhatWasRecordedOverOtherMemory) {
  WithFakeBackend([](FakeBackend& backend) {
    Recorded run(backend);
    for (int i = 0; i < 3; ++i) run.Picture(1);
    run.states.ReserveKeys(nullptr, 2, 2, 6, DType::kF32);  // more room
    run.Pass(0, 5);
    EXPECT_EQ(run.host_runs, 2 * 3 + 1);
    EXPECT_EQ(run.Keys(1), std::vector<float>{5});
  });
}

TEST(NextScaleStates, TellPassesAfterOtherOnesApart) {
  WithFakeBackend([](FakeBackend& backend) {
    Recorded run(backend);
    for (int i = 0; i < 3; ++i) run.Picture(1);
    run.states.ReserveKeys(nullptr, 2, 2, 4, DType::kF32);
    run.Pass(1, 7);  // the first scale left out
    EXPECT_EQ(run.host_runs, 2 * 3 + 1);
    EXPECT_EQ(run.Keys(0), (std::vector<float>{7, 7, 7}));
  });
}

// A small VAR that reads texts of width 10.
std::shared_ptr<const var::Model> TextModel() {
  const Json config = Json::parse(R"({"depth": 2, "embed_dim": 8, "num_heads": 2, "num_classes": 1,
                                      "patch_nums": [1, 2], "text": {"dim": 10}})");
  Weights sizes;
  sizes.tensors["head.weight"] = Tensor({6, 8}, DType::kF32);
  sizes.tensors["word_embed.weight"] = Tensor({8, 4}, DType::kF32);
  var::Model model(var::ParseConfig(config, sizes));
  const Weights weights = RandomWeights(model, 1);
  return var::Load(weights, var::ParseConfig(config, weights), Device::kCpu, DType::kF32);
}

TEST(NextScaleStates, ForgetWhatReadATextOfAnotherLength) {
  WithFakeBackend([](FakeBackend& backend) {
    const auto model = TextModel();
    States states(model->blocks, 1, nullptr);
    Arena arena(Device::kCuda, size_t{1} << 16);
    Context host{.device = Device::kCpu, .arena = &arena};
    Context device{.device = Device::kCuda, .arena = &arena};
    const Tensor in({1}, DType::kF32);
    Tensor out({1, 1, 1}, DType::kF32);
    // The first key of a text, by the device.
    const auto key = [&](int64_t length, uint32_t seed) {
      Tensor mask({1, length}, DType::kI32);
      states.EncodeText(host, model->blocks, DType::kF32, RandomTensor({1, length, 10}, seed),
                        mask);
      states.Run(device, 0, in, out.mutable_view(), [&] {
        const auto* from = static_cast<const float*>(states.Of(0, {}).text_keys.data);
        auto* to = static_cast<float*>(out.mutable_view().data);
        backend.Launch([=] { *to = *from; });
      });
      EXPECT_EQ(out.Data<float>()[0], states.Of(0, {}).text_keys.Data<float>()[0]);
      return out.Data<float>()[0];
    };
    for (uint32_t seed = 0; seed < 3; ++seed) key(4, seed);
    EXPECT_EQ(backend.plays(), 2);
    EXPECT_NE(key(4, 3), key(4, 4));
    EXPECT_EQ(backend.plays(), 4);
    key(5, 5);
    EXPECT_EQ(backend.plays(), 4);
  });
}

TEST(NextScaleStates, StayOnlyWhereADeviceRecordsAndNothingIsDecided) {
  const std::vector<Block> blocks(1, Block(Recorded::Config()));
  class Undecided : public Hooks {
   public:
    std::unique_ptr<Hooks> Fork(std::span<const int64_t>) const override { return nullptr; }
  };
  const Undecided hooks;
  EXPECT_EQ(States(blocks, 1, nullptr).stay(), CurrentBackend() != nullptr);
  WithFakeBackend([&](FakeBackend& backend) {
    EXPECT_TRUE(States(blocks, 1, nullptr).stay());
    EXPECT_FALSE(States(blocks, 1, &hooks).stay());
    backend.set_records(false);
    EXPECT_FALSE(States(blocks, 1, nullptr).stay());
  });
}

}  // namespace
}  // namespace gesso::next_scale
