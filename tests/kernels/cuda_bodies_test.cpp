// The arithmetic of the CUDA kernels against ref, run on the CPU by a single lane: indices, strides
// and formulas are those of the GPU. What this cannot see, warps and launches, is tested on a GPU
// by the same tests of ops that walk the tables.
#include "tests/support/cuda_bodies.h"
#include "kernels/cuda/device/attention.cuh"
#include "kernels/cuda/device/causal_conv.cuh"
#include "kernels/cuda/device/conv.cuh"
#include "kernels/cuda/device/embedding.cuh"
#include "kernels/cuda/device/group_norm.cuh"
#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/device/noise.cuh"
#include "kernels/cuda/device/norm.cuh"
#include "kernels/cuda/device/picture.cuh"
#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/sample.cuh"
#include "kernels/cuda/device/token.cuh"
#include "kernels/cuda/device/token_pruning.cuh"
#include "kernels/gemm.h"
#include "tests/support/heads.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

class CudaBodies : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaBodies, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

TEST_P(CudaBodies, Norms) {
  const Shape shape{2, 5, 24};
  const Tensor x = RandomTensor(shape, 1, GetParam(), 3);
  const Tensor wide = RandomTensor({2, 60}, 2);
  const ConstView scale = wide.view().Slice(1, 7, 31);  // rows lie apart
  const Tensor shift = RandomTensor({24}, 3);
  RmsNormArgs rms{
      .x = x, .scale = scale, .scale_offset = 1, .out = {}, .groups = 3, .shift = shift};
  ExpectLikeRef(RmsNormTable(), rms, shape, GetParam(),
                [](const auto& a) { RunRows(2 * 5 * 3, cuda::RmsNormRow(a)); });
  LayerNormArgs layer{.x = x, .scale = scale, .shift = shift, .scale_offset = 1, .out = {}};
  ExpectLikeRef(LayerNormTable(), layer, shape, GetParam(),
                [](const auto& a) { RunRows(2 * 5, cuda::LayerNormRow(a)); });
}

TEST_P(CudaBodies, GroupNorm) {
  const Shape shape{2, 3, 5, 12};
  const Tensor x = RandomTensor(shape, 1, GetParam(), 3);
  const Tensor scale = RandomTensor({12}, 2);
  const GroupNormArgs args{
      .x = x, .groups = 4, .scale = scale, .shift = {}, .activation = Activation::kSilu, .out = {}};
  ExpectLikeRef(GroupNormTable(), args, shape, GetParam(),
                [](const auto& a) { RunRows(2 * 4, cuda::GroupNormRow(a)); });
}

TEST(CudaElements, Chains) {
  const Shape shape{2, 3, 8};
  const Tensor a = RandomTensor(shape, 1);
  const Tensor b = RandomTensor(shape, 2);
  const std::array<Term, 2> terms = {{{0.5f, a}, {-2, b}}};
  const LinearCombinationArgs chain{.terms = terms, .low = -1, .high = 2, .out = {}};
  ExpectLikeRef(LinearCombinationTable(), chain, shape, DType::kF32,
                [](const auto& x) { RunElements(48, cuda::LinearCombinationElement(x)); });
  const Tensor gate = RandomTensor({2, 8}, 3);
  const GatedAddArgs gated{.residual = a, .x = b, .gate = gate, .out = {}};
  ExpectLikeRef(GatedAddTable(), gated, shape, DType::kF32,
                [](const auto& x) { RunElements(48, cuda::GatedAddElement(x)); });
}

TEST_P(CudaBodies, Activations) {
  const Tensor both = RandomTensor({5, 26}, 1, GetParam(), 2);
  const ConstView value = both.view().Slice(1, 0, 13);
  const ConstView gate = both.view().Slice(1, 13, 26);
  for (const Activation activation :
       {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh, Activation::kSilu,
        Activation::kRelu}) {
    const GluArgs glu{.value = value, .gate = gate, .activation = activation, .out = {}};
    ExpectLikeRef(GluTable(), glu, {5, 13}, GetParam(),
                  [](const auto& a) { RunElements(65, cuda::GluElement(a)); });
    const ActivateArgs alone{.x = gate, .activation = activation, .out = {}};
    ExpectLikeRef(ActivateTable(), alone, {5, 13}, GetParam(),
                  [](const auto& a) { RunElements(65, cuda::GluElement(a)); });
  }
}

TEST_P(CudaBodies, Rope) {
  const Shape shape{2, 6, 3, 16};
  const Tensor scale = RandomTensor({3}, 2, DType::kF32, 0.1f);
  Tensor positive({3}, DType::kF32);
  for (int i = 0; i < 3; ++i) positive.MutableData<float>()[i] = std::abs(scale.Data<float>()[i]);
  const Tensor cos = RandomTensor({6, 3, 4}, 3);
  const Tensor sin = RandomTensor({6, 3, 4}, 4);
  Tensor want = RandomTensor(shape, 1, GetParam());
  Tensor got = RandomTensor(shape, 1, GetParam());
  RopeArgs args{.x = want.mutable_view(), .scale = positive, .cos = cos, .sin = sin};
  RunImplementation(RopeTable(), "ref", args);
  args.x = got.mutable_view();
  RunRows(2 * 6 * 3, cuda::RopeRow(args));
  EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam()));
}

TEST_P(CudaBodies, PrepareHeads) {
  for (const int64_t head_dim : {16, 7}) {
    const HeadsCase heads({2, 6, 3, head_dim}, GetParam(), GetParam());
    heads.ExpectLikeRef([](const PrepareHeadsArgs& args) {
      const cuda::PrepareHeadsRow row(args);
      RunRows(row.Rows(), row);
    });
  }
}

TEST_P(CudaBodies, Attention) {
  const Tensor q = RandomTensor({2, 7, 3, 20}, 1, GetParam());
  const Tensor k = RandomTensor({2, 9, 3, 20}, 2, GetParam());
  const Tensor v = RandomTensor({2, 9, 3, 20}, 3, GetParam());
  const Tensor bias = RandomTensor({3, 7, 9}, 4);
  Tensor mask({2, 9}, DType::kI32);  // of the second picture nothing is left
  for (int i = 0; i < 9; ++i) mask.MutableData<int32_t>()[i] = i % 4 == 0 ? 0 : 1;
  const AttentionArgs args{
      .q = q, .k = k, .v = v, .bias = bias, .key_mask = mask, .scale = 0.3f, .out = {}};
  ExpectLikeRef(AttentionTable(), args, {2, 7, 3, 20}, GetParam(), [](const auto& a) {
    RunRows(2 * 7 * 3, cuda::AttentionRow<cuda::ChosenKeys, 20>(a));
  });
}

TEST_P(CudaBodies, AttentionOnGrids) {
  const Shape shape{2, 9, 8, 2, 4};
  const Tensor q = RandomTensor(shape, 1, GetParam());
  const Tensor k = RandomTensor(shape, 2, GetParam());
  const Tensor v = RandomTensor(shape, 3, GetParam());
  const NeighborhoodAttentionArgs near{
      .q = q, .k = k, .v = v, .kernel_size = 5, .scale = 0.5f, .out = {}};
  ExpectLikeRef(NeighborhoodAttentionTable(), near, shape, GetParam(), [](const auto& a) {
    const cuda::AttentionRow<cuda::NeighborKeys, 4> body(a);
    RunRows(body.Rows(2), body);
  });
  const WindowAttentionArgs window{
      .q = q, .k = k, .v = v, .window = 4, .shift = 2, .scale = 0.5f, .out = {}};
  ExpectLikeRef(WindowAttentionTable(), window, shape, GetParam(), [](const auto& a) {
    const cuda::AttentionRow<cuda::WindowKeys, 4> body(a);
    RunRows(body.Rows(2), body);
  });
}

TEST_P(CudaBodies, Tokens) {
  const Tensor picture = RandomTensor({2, 3, 4, 6}, 1, GetParam());
  const SpaceDepthArgs fold{.x = picture.view().Permute({0, 2, 3, 1}), .out = {}};
  ExpectLikeRef(SpaceDepthTable(), fold, {2, 2, 3, 12}, GetParam(),
                [](const auto& a) { RunElements(144, cuda::SpaceDepthElement(a)); });
  const Tensor patches = RandomTensor({2, 2, 3, 12}, 2, GetParam());
  const SpaceDepthArgs unfold{.x = patches, .inverse = true, .out = {}};
  ExpectLikeRef(SpaceDepthTable(), unfold, {2, 4, 6, 3}, GetParam(),
                [](const auto& a) { RunElements(144, cuda::SpaceDepthElement(a)); });
  Tensor ids({2, 3}, DType::kI32);
  for (int i = 0; i < 6; ++i) ids.MutableData<int32_t>()[i] = (2 * i) % 5;
  const Tensor table = RandomTensor({5, 7}, 3, GetParam());
  const GatherRowsArgs gather{.table = table, .ids = ids, .out = {}};
  ExpectLikeRef(GatherRowsTable(), gather, {2, 3, 7}, DType::kF32,
                [](const auto& a) { RunElements(42, cuda::GatherRowsElement(a)); });
  const Tensor all = RandomTensor({2, 5, 4}, 4);
  const SelectTokensArgs pick{.x = all, .ids = ids, .out = {}};
  ExpectLikeRef(SelectTokensTable(), pick, {2, 3, 4}, DType::kF32,
                [](const auto& a) { RunElements(24, cuda::SelectTokensElement(a)); });
  const Tensor part = RandomTensor({2, 3, 4}, 5);
  const SelectTokensArgs put{.x = part, .ids = ids, .inverse = true, .out = {}};
  ExpectLikeRef(SelectTokensTable(), put, {2, 5, 4}, DType::kF32,
                [](const auto& a) { RunElements(24, cuda::SelectTokensElement(a)); });
}

TEST_P(CudaBodies, CausalConvBothWays) {
  const Shape shape{2, 3, 4};  // shorter than its state
  const Tensor x = RandomTensor(shape, 1, GetParam());
  const Tensor weight = RandomTensor({4, 4}, 2);
  const Tensor bias = RandomTensor({4}, 3);
  for (const bool reverse : {false, true}) {
    Tensor want_state = RandomTensor({2, 4, 5}, 4);
    Tensor got_state = RandomTensor({2, 4, 5}, 4);
    CausalConv1dArgs args{.x = x,
                          .weight = weight,
                          .bias = bias,
                          .activation = Activation::kSilu,
                          .reverse = reverse,
                          .initial_state = want_state,
                          .final_state = want_state.mutable_view(),
                          .out = {}};
    ExpectLikeRef(CausalConv1dTable(), args, shape, GetParam(), [&](CausalConv1dArgs mine) {
      mine.initial_state = got_state;
      mine.final_state = got_state.mutable_view();
      RunElements(24, cuda::CausalConvElement(mine));
      RunElements(2 * 4, cuda::CausalConvState(mine));
    });
    EXPECT_LT(RmsError(got_state, want_state), 1e-5);
  }
}

// The product that cuBLASLt does: out [M, N] = patches [M, K] kernel [N, K]^T.
void Multiply(const Tensor& patches, ConstView kernel, View out) {
  Context ctx;
  const PackedMatrix packed = PackMatrix(
      Device::kCpu, ConstView(kernel.data, {out.shape[3], patches.shape()[1]}, kernel.dtype),
      DType::kF32, Factors::kWhole);
  const View rows(out.data, {patches.shape()[0], out.shape[3]}, out.dtype);
  Linear(ctx, {.x = patches, .weight = &packed, .bias = {}, .residual = {}, .out = rows});
}

TEST_P(CudaBodies, ConvolutionsAsProducts) {
  const Tensor x = RandomTensor({2, 7, 6, 5}, 1, GetParam());
  const Tensor weight = RandomTensor({4, 5, 3, 2}, 2);
  const Tensor taps_first = Cast(weight.view().Permute({0, 2, 3, 1}), DType::kF32);
  for (const Conv2dShape& conv :
       {Conv2dShape{}, Conv2dShape{.stride = 2, .padding = 1, .end_padding = 1},
        Conv2dShape{.padding = 2, .dilation = 2}}) {
    const PackedKernel kernel = PackKernel(Device::kCpu, weight, DType::kF32, conv);
    const auto extent = [&](int64_t in, int64_t size) {
      const int64_t padded = in + 2 * conv.padding + conv.end_padding;
      return (padded - conv.dilation * (size - 1) - 1) / conv.stride + 1;
    };
    const Shape out{2, extent(7, 3), extent(6, 2), 4};
    const Conv2dArgs args{.x = x, .kernel = &kernel, .bias = {}, .residual = {}, .out = {}};
    ExpectLikeRef(Conv2dTable(), args, out, DType::kF32, [&](const Conv2dArgs& mine) {
      cuda::PatchElement body(mine);
      Tensor patches({out[0] * out[1] * out[2], body.depth}, DType::kF32);
      for (const int64_t first : {int64_t{0}, int64_t{3}}) {  // pictures in two parts
        body.first = first;
        body.patches = cuda::Numbers(patches.view()).From(first * body.depth);
        RunElements(((first == 0 ? 3 : patches.shape()[0]) - first) * body.depth, body);
      }
      Multiply(patches, taps_first, mine.out);
    });
  }
}

TEST_P(CudaBodies, ConvolutionsInGroups) {
  const Tensor x = RandomTensor({2, 5, 6, 6}, 1, GetParam());
  const Tensor weight = RandomTensor({9, 2, 3, 3}, 2);
  const Tensor taps_first = Cast(weight.view().Permute({0, 2, 3, 1}), DType::kF32);
  const Tensor bias = RandomTensor({9}, 3);
  const Tensor residual = RandomTensor({2, 3, 3, 9}, 4, GetParam());
  const PackedKernel kernel =
      PackKernel(Device::kCpu, weight, DType::kF32, {.stride = 2, .padding = 1, .groups = 3});
  const Conv2dArgs args{.x = x,
                        .kernel = &kernel,
                        .bias = bias,
                        .activation = Activation::kSilu,
                        .residual = residual,
                        .out = {}};
  ExpectLikeRef(Conv2dTable(), args, {2, 3, 3, 9}, GetParam(), [&](const Conv2dArgs& mine) {
    RunElements(mine.out.numel(), cuda::GroupedConvElement(mine, taps_first));
  });
}

TEST_P(CudaBodies, Resize) {
  const Tensor x = RandomTensor({2, 5, 7, 3}, 1, GetParam());
  for (const Resampling resampling :
       {Resampling::kNearest, Resampling::kArea, Resampling::kBilinear, Resampling::kBicubic}) {
    for (const Shape& out : {Shape{2, 11, 16, 3}, Shape{2, 2, 3, 3}, Shape{2, 5, 1, 3}}) {
      ExpectLikeRef(
          ResizeTable(), ResizeArgs{.x = x, .resampling = resampling, .out = {}}, out, GetParam(),
          [](const ResizeArgs& mine) { RunElements(mine.out.numel(), cuda::ResizeElement(mine)); });
    }
  }
}

TEST(CudaElements, Blends) {
  const Tensor picture = RandomTensor({2, 3, 9, 8}, 1);
  const FadeInArgs fade{.x = picture.view().Slice(2, 1, 7), .rows = 3, .columns = 2, .out = {}};
  ExpectLikeRef(FadeInTable(), fade, {2, 3, 6, 8}, DType::kF32,
                [](const auto& a) { RunElements(2 * 3 * 6 * 8, cuda::FadeInElement(a)); });
  const Tensor known = RandomTensor({1, 3, 6, 8}, 2);
  const Tensor amount = RandomTensor({6, 8}, 3);
  const HoldArgs hold{.known = known, .amount = amount, .threshold = 0.1, .out = {}};
  ExpectLikeRef(HoldTable(), hold, {2, 3, 6, 8}, DType::kF32,
                [](const auto& a) { RunElements(2 * 3 * 6 * 8, cuda::HoldElement(a)); });
}

TEST(CudaElements, TopTokens) {
  Tensor score = RandomTensor({2, 9}, 1);
  float* values = score.MutableData<float>();
  values[3] = values[5];  // equal ones, in order of their index
  values[7] = NAN;
  for (const bool by_score : {false, true}) {
    Tensor want({2, 4}, DType::kI32);
    Tensor got({2, 4}, DType::kI32);
    Tensor ranks({2, 9}, DType::kI32);
    RunImplementation(TopTokensTable(), "ref",
                      {.score = score, .by_score = by_score, .ids = want.mutable_view()});
    auto* rank = ranks.MutableData<int32_t>();
    RunElements(18, cuda::TokenRankElement{values, rank, 9});
    RunElements(18, cuda::TopTokenElement{rank, got.MutableData<int32_t>(), 9, 4, by_score});
    for (int i = 0; i < 8; ++i) EXPECT_EQ(got.Data<int32_t>()[i], want.Data<int32_t>()[i]) << i;
  }
}

TEST(CudaElements, TokenDistance) {
  const Tensor x = RandomTensor({2, 7, 5}, 1);
  Tensor want({2, 7}, DType::kF32);
  Tensor got({2, 7}, DType::kF32);
  Tensor means({2, 5}, DType::kF32);
  RunImplementation(TokenDistanceTable(), "ref", {.x = x, .score = want.mutable_view()});
  auto* mean = means.MutableData<float>();
  RunElements(10, cuda::TokenMeanElement{x.Data<float>(), mean, 7, 5});
  RunRows(14, cuda::TokenDistanceRow{x.Data<float>(), mean, got.MutableData<float>(), 7, 5});
  EXPECT_LT(RmsError(got, want), 1e-5);
}

TEST(CudaElements, GumbelSoftmax) {
  Tensor logits = RandomTensor({3, 40}, 1, DType::kF32, 4);
  logits.MutableData<float>()[7] = -INFINITY;
  const Tensor gumbel = RandomTensor({3, 40}, 2);
  Tensor want({3, 40}, DType::kF32);
  Tensor got = Cast(gumbel, DType::kF32);  // in place
  RunImplementation(GumbelSoftmaxTable(), "ref",
                    {.logits = logits,
                     .gumbel = gumbel,
                     .gain = 1.5f,
                     .tau = 0.7f,
                     .weights = want.mutable_view()});
  RunRows(3, cuda::GumbelSoftmaxRow({.logits = logits,
                                     .gumbel = got,
                                     .gain = 1.5f,
                                     .tau = 0.7f,
                                     .weights = got.mutable_view()}));
  EXPECT_LT(RmsError(got, want), 1e-5);
  EXPECT_EQ(got.Data<float>()[7], 0);
}

TEST(CudaElements, CodesAndMeans) {
  const Tensor x = RandomTensor({2, 6, 3}, 1);
  Tensor want_bits({2, 6, 3}, DType::kU8);
  Tensor got_bits({2, 6, 3}, DType::kU8);
  RunImplementation(SignBitsTable(), "ref", {.x = x, .bits = want_bits.mutable_view()});
  RunElements(36, cuda::SignBitElement({.x = x, .bits = got_bits.mutable_view()}));
  for (int i = 0; i < 36; ++i) EXPECT_EQ(got_bits.Data<uint8_t>()[i], want_bits.Data<uint8_t>()[i]);
  Tensor want({2, 6, 3}, DType::kF32);
  Tensor got({2, 6, 3}, DType::kF32);
  RunImplementation(BitCodesTable(), "ref",
                    {.bits = got_bits, .magnitude = 0.3f, .codes = want.mutable_view()});
  RunElements(
      36, cuda::BitCodeElement({.bits = got_bits, .magnitude = 0.3f, .codes = got.mutable_view()}));
  EXPECT_EQ(RmsError(got, want), 0);
  Tensor mask({2, 6}, DType::kI32);  // of the second row nothing is left
  for (int i = 0; i < 6; ++i) mask.MutableData<int32_t>()[i] = i % 2;
  ExpectLikeRef(MaskedMeanTable(), MaskedMeanArgs{.x = x, .mask = mask, .out = {}}, {2, 3},
                DType::kF32, [](const auto& a) { RunElements(6, cuda::MaskedMeanElement(a)); });
}

TEST(CudaElements, IdsOutsideATableGiveNoNumber) {
  const Tensor table = RandomTensor({2, 3}, 1);
  Tensor ids({1, 3}, DType::kI32);
  const int32_t given[] = {1, 2, -1};
  std::copy_n(given, 3, ids.MutableData<int32_t>());
  Tensor rows({1, 3, 3}, DType::kF32);
  RunElements(9, cuda::GatherRowsElement({.table = table, .ids = ids, .out = rows.mutable_view()}));
  Tensor tokens({1, 3, 3}, DType::kF32);
  RunElements(
      9, cuda::SelectTokensElement(
             {.x = table.view().Reshape({1, 2, 3}), .ids = ids, .out = tokens.mutable_view()}));
  for (const Tensor* const out : {&rows, &tokens}) {
    for (int i = 0; i < 9; ++i) EXPECT_EQ(std::isnan(out->Data<float>()[i]), i >= 3) << i;
  }
  Tensor all = RandomTensor({1, 2, 3}, 2);
  const Tensor before = Cast(all, DType::kF32);
  Tensor none({1, 3}, DType::kI32);
  std::fill_n(none.MutableData<int32_t>(), 3, 7);
  RunElements(9, cuda::SelectTokensElement(
                     {.x = rows, .ids = none, .inverse = true, .out = all.mutable_view()}));
  EXPECT_TRUE(SameBits(all, before));
}

TEST(CudaElements, MatchDeviation) {
  const Tensor reference = RandomTensor({3, 7, 11}, 1, DType::kF32, 4);
  Tensor want = RandomTensor({3, 7, 11}, 2);
  std::fill_n(want.MutableData<float>() + 154, 77, 5.0f);  // of no deviation
  Tensor got = Cast(want, DType::kF32);
  MatchDeviationArgs args{.reference = reference, .share = 0.7, .x = want.mutable_view()};
  RunImplementation(MatchDeviationTable(), "ref", args);
  args.x = got.mutable_view();
  cuda::MatchDeviationBody body(args);
  Tensor scratch({body.ScratchFloats()}, DType::kF32);
  body.UseScratch(scratch.MutableData<float>());
  RunRows(body.Parts(), cuda::DeviationPartRow{body});
  RunElements(3, cuda::DeviationFactorElement{body});
  RunElements(3 * 77, cuda::DeviationScaleElement{body});
  EXPECT_LT(RmsError(got, want), 1e-6);
  EXPECT_EQ(got.Data<float>()[200], 5);
}

TEST(CudaElements, FourierFeatures) {
  const Tensor u = RandomTensor({3, 2}, 1);
  const Tensor weight = RandomTensor({5, 2}, 2, DType::kF32, 100);  // many turns
  const FourierFeaturesArgs args{.u = u, .weight = weight, .out = {}};
  ExpectLikeRef(FourierFeaturesTable(), args, {3, 10}, DType::kF32,
                [](const auto& a) { RunElements(30, cuda::FourierFeatureElement(a)); });
}

// More pictures than one launch takes.
TEST(CudaElements, NoiseIsThatOfTheCpu) {
  constexpr int64_t kPictures = 67;
  std::vector<uint64_t> seeds(kPictures);
  for (size_t b = 0; b < seeds.size(); ++b) seeds[b] = 0x123456789abcdef * b;
  const std::array<NormalTerm, 3> streams = {
      {{0.5f, 7}, {-2, uint64_t{1} << 63 | 5}, {1, uint64_t{3} << 40}}};
  for (const size_t count : {1, 3}) {
    for (const int64_t size : {1, 40, 41}) {
      const Tensor x = RandomTensor({kPictures, size}, 1);
      const std::array<Term, 1> terms = {{{2, x, -3}}};
      Tensor want_also({kPictures, size}, DType::kF32);
      Tensor got_also({kPictures, size}, DType::kF32);
      const LinearCombinationArgs args{.terms = terms,
                                       .low = -2,
                                       .out = {},
                                       .noise = {.coefficient = 1.5f,
                                                 .seeds = seeds,
                                                 .streams = std::span(streams).first(count)},
                                       .also = want_also.mutable_view()};
      ExpectLikeRef(LinearCombinationTable(), args, {kPictures, size}, DType::kF32,
                    [&](LinearCombinationArgs mine) {
                      mine.also = got_also.mutable_view();
                      for (const int64_t first : {int64_t{0}, int64_t{64}}) {
                        const cuda::NoisyCombinationPair body(mine, first);
                        EXPECT_EQ(body.pictures, first == 0 ? 64 : 3);
                        RunElements(body.Pairs(), body);
                      }
                    });
      EXPECT_EQ(RmsError(got_also, want_also), 0);
    }
  }
}

TEST(CudaNumbers, RoundAsBFloat16Does) {
  for (const float value : {0.f, -1.00390625f, 1.01171875f, 3e38f, 1e-40f, INFINITY, NAN}) {
    EXPECT_EQ(cuda::RoundToBf16(value), BFloat16(value).bits) << value;
  }
}

}  // namespace
}  // namespace gesso
