// Mamba blocks: a sequence cut in pieces gives what the whole gives, the options of Mamba-2 do what
// their names say, and no step takes memory from elsewhere than the arena. DiM's scan orders.
#include "models/mamba/mamba.h"

#include <gtest/gtest.h>

#include "models/dim/config.h"
#include "models/mamba/mamba2.h"
#include "tests/support/files.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::mamba {
namespace {

using testing_support::RandomTensor;
using testing_support::RandomWeights;
using testing_support::RmsError;

constexpr size_t kArenaBytes = size_t{16} << 20;

template <class Block>
Block Loaded(const Weights& weights, Block block) {
  nn::LoadWeights(block, weights, Device::kCpu, DType::kF32);
  block.Prepare();
  return block;
}

// Runs run(x, state, out) on tokens begin .. end - 1 of x.
template <class Run>
Tensor Part(const Tensor& x, int64_t begin, int64_t end, const Run& run) {
  const Tensor tokens = Cast(x.view().Slice(1, begin, end), DType::kF32);
  Tensor out(tokens.shape(), DType::kF32);
  run(tokens, out.mutable_view());
  return out;
}

template <class Run>
void ExpectPiecesToEqualTheWhole(const Tensor& x, const Run& run) {
  const Tensor whole =
      Part(x, 0, x.shape()[1], [&](ConstView in, View out) { run(in, false, out); });
  for (const auto& [begin, end] : {std::pair{0, 2}, std::pair{2, 3}, std::pair{3, 20}}) {
    const Tensor got = Part(x, begin, end, [&](ConstView in, View out) { run(in, true, out); });
    EXPECT_LT(RmsError(got, Cast(whole.view().Slice(1, begin, end), DType::kF32)), 1e-5);
  }
}

TEST(Mamba, ContinuesASequence) {
  const MambaConfig config = ParseMambaConfig(Json::parse(R"({"d_state": 5, "bias": true})"), 24);
  Mamba shapes(config);
  const Mamba block = Loaded(RandomWeights(shapes, 1), Mamba(config));
  State state = block.MakeState(2);
  Arena arena(Device::kCpu, kArenaBytes);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  ExpectPiecesToEqualTheWhole(RandomTensor({2, 20, 24}, 2), [&](ConstView x, bool part, View out) {
    block.Forward(ctx, DType::kF32, x, part ? &state : nullptr, out);
  });
}

// Longer than the pieces that it works in, which do not end where the state was handed over.
TEST(Mamba, ScansALongSequenceInPieces) {
  const MambaConfig config = ParseMambaConfig(Json::parse(R"({"d_state": 5})"), 24);
  Mamba shapes(config);
  const Mamba block = Loaded(RandomWeights(shapes, 1), Mamba(config));
  State state = block.MakeState(2);
  Arena arena(Device::kCpu, kArenaBytes);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  const Tensor x = RandomTensor({2, 600, 24}, 2);
  const auto run = [&](int64_t begin, int64_t end, State* from) {
    return Part(x, begin, end,
                [&](ConstView in, View out) { block.Forward(ctx, DType::kF32, in, from, out); });
  };
  const Tensor whole = run(0, 600, nullptr);
  for (const auto& [begin, end] : {std::pair{0, 100}, std::pair{100, 600}}) {
    const Tensor want = Cast(whole.view().Slice(1, begin, end), DType::kF32);
    EXPECT_LT(RmsError(run(begin, end, &state), want), 1e-5) << begin;
  }
}

class Mamba2Test : public testing::TestWithParam<const char*> {};

TEST_P(Mamba2Test, ContinuesASequence) {
  const Mamba2Config config = ParseMamba2Config(Json::parse(GetParam()), 16);
  Mamba2 shapes(config);
  const Mamba2 block = Loaded(RandomWeights(shapes, 1), Mamba2(config));
  State state = block.MakeState(2);
  Arena arena(Device::kCpu, kArenaBytes);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  ExpectPiecesToEqualTheWhole(RandomTensor({2, 20, 16}, 2), [&](ConstView x, bool part, View out) {
    block.Forward(ctx, DType::kF32, x, part ? &state : nullptr, {}, out);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Options, Mamba2Test,
    testing::Values(R"({"headdim": 8, "d_state": 6})",
                    R"({"headdim": 8, "d_state": 6, "ngroups": 2, "norm_before_gate": true})",
                    R"({"headdim": 4, "d_state": 6, "rmsnorm": false, "bias": true})",
                    R"({"headdim": 8, "d_state": 3, "conv_bias": false, "D_has_hdim": true})"));

// One D for a head is the same as that D for each of its channels.
TEST(Mamba2, SkipOfAHeadOrOfAChannel) {
  const Json json = Json::parse(R"({"headdim": 8, "d_state": 6})");
  Json wide_json = json;
  wide_json["D_has_hdim"] = true;
  const Mamba2Config config = ParseMamba2Config(json, 16);
  Mamba2 shapes(config);
  const Weights weights = RandomWeights(shapes, 1);
  Weights wide_weights = weights;
  Tensor wide_skip({32}, DType::kF32);
  for (int64_t i = 0; i < 32; ++i) {
    wide_skip.MutableData<float>()[i] = weights.At("D").Data<float>()[i / 8];
  }
  wide_weights.tensors["D"] = wide_skip;
  const Mamba2 block = Loaded(weights, Mamba2(config));
  const Mamba2 wide = Loaded(wide_weights, Mamba2(ParseMamba2Config(wide_json, 16)));
  const Tensor x = RandomTensor({1, 9, 16}, 2);
  Tensor want(x.shape(), DType::kF32);
  Tensor got(x.shape(), DType::kF32);
  Arena arena(Device::kCpu, kArenaBytes);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  block.Forward(ctx, DType::kF32, x, nullptr, {}, want.mutable_view());
  wide.Forward(ctx, DType::kF32, x, nullptr, {}, got.mutable_view());
  EXPECT_LT(RmsError(got, want), 1e-6);
}

// A second branch whose weights give no output leaves the first alone.
TEST(BidirectionalMamba, AddsTheBackwardBranch) {
  const MambaConfig config = ParseMambaConfig(Json::parse(R"({"d_state": 5})"), 24);
  BidirectionalMamba shapes(config);
  Weights weights = RandomWeights(shapes, 1);
  Weights forward = weights;
  std::erase_if(forward.tensors, [](const auto& item) {
    return item.first.find("_b.") != std::string::npos || item.first == "A_b_log" ||
           item.first == "D_b";
  });
  weights.tensors["conv1d_b.weight"] = Tensor({48, 1, 4}, DType::kF32);
  weights.tensors["conv1d_b.bias"] = Tensor({48}, DType::kF32);
  const BidirectionalMamba both = Loaded(weights, BidirectionalMamba(config));
  const Mamba one = Loaded(forward, Mamba(config));
  const Tensor x = RandomTensor({2, 11, 24}, 2);
  Tensor want(x.shape(), DType::kF32);
  Tensor got(x.shape(), DType::kF32);
  Arena arena(Device::kCpu, kArenaBytes);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  one.Forward(ctx, DType::kF32, x, nullptr, want.mutable_view());
  both.Forward(ctx, DType::kF32, x, got.mutable_view());
  EXPECT_LT(RmsError(got, want), 1e-6);
}

TEST(State, ForkTakesRows) {
  State state = {.conv = RandomTensor({3, 2, 4}, 1), .ssm = RandomTensor({3, 2, 5}, 2)};
  const std::vector<int64_t> rows = {2, 0, 2};
  const State fork = state.Fork(rows);
  for (int64_t i = 0; i < 3; ++i) {
    const auto row = [](const Tensor& t, int64_t r) { return t.view().Slice(0, r, r + 1); };
    const int64_t from = rows[static_cast<size_t>(i)];
    EXPECT_TRUE(testing_support::SameBits(row(fork.conv, i), row(state.conv, from)));
    EXPECT_TRUE(testing_support::SameBits(row(fork.ssm, i), row(state.ssm, from)));
  }
  state.Reset();
  EXPECT_EQ(state.ssm.Data<float>()[7], 0);
}

TEST(Config, RefusesWhatDoesNotFit) {
  ExpectError(ErrorKind::kConfig, {"headdim", "7", "32"},
              [] { ParseMamba2Config(Json::parse(R"({"headdim": 7})"), 16); });
  ExpectError(ErrorKind::kConfig, {"ngroups", "3"},
              [] { ParseMamba2Config(Json::parse(R"({"headdim": 8, "ngroups": 3})"), 16); });
  ExpectError(ErrorKind::kUnsupported, {"d_ssm", "64"}, [] {
    ParseMamba2Config(Json::parse(R"({"expand": 2, "headdim": 8, "d_ssm": 32})"), 32);
  });
  ExpectError(ErrorKind::kUnsupported, {"dt_limit"}, [] {
    ParseMamba2Config(Json::parse(R"({"headdim": 8, "dt_limit": [0.0, 0.1]})"), 16);
  });
  EXPECT_EQ(
      ParseMamba2Config(Json::parse(R"({"headdim": 8, "d_ssm": 32, "dt_limit": [0.0, null]})"), 16)
          .inner,
      32);
  ExpectError(ErrorKind::kConfig, {"dt_rank"},
              [] { ParseMambaConfig(Json::parse(R"({"dt_rank": "many"})"), 16); });
}

TEST(Dim, ScanOrdersAndSkipFactors) {
  const dim::Config config = dim::ParseConfig(Json::parse(R"({
      "num_attention_heads": 1, "attention_head_dim": 32, "num_layers": 9, "in_channels": 4,
      "sample_size": 8, "num_embeds_ada_norm": 10, "is_skip_tune": true})"));
  const std::vector<int64_t> want = {0, 1, 2, 3, 0, 3, 2, 1, 0};
  for (int64_t layer = 0; layer < 9; ++layer) {
    EXPECT_EQ(config.ScanOrder(layer), want[static_cast<size_t>(layer)]) << layer;
  }
  EXPECT_DOUBLE_EQ(config.SkipFactor(0), 1);
  EXPECT_DOUBLE_EQ(config.SkipFactor(3), 0.99982);
  EXPECT_EQ(config.pads, 3);
}

}  // namespace
}  // namespace gesso::mamba
