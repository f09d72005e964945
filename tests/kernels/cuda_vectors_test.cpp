// Bodies of CUDA kernels that take several numbers at once against ref, run on the CPU: in vectors
// where memory and widths allow that, and one by one where they do not.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/cuda/device/causal_conv.cuh"
#include "kernels/cuda/device/conv.cuh"
#include "kernels/cuda/device/picture.cuh"
#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/cuda/device/token.cuh"
#include "tests/support/cuda_bodies.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

class CudaVectors : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaVectors, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

TEST(CudaDivisor, DividesAsDivisionDoes) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  std::mt19937_64 random(1);
  std::vector<int64_t> numbers = {0, 1, 2, 3, 7, 641, kMost, kMost - 1};
  for (int bits = 2; bits < 63; ++bits) {
    const int64_t power = int64_t{1} << bits;
    numbers.insert(numbers.end(), {power - 1, power, power + 1});
    numbers.push_back(static_cast<int64_t>(random() >> (64 - bits)));
  }
  for (const int64_t by : numbers) {
    const cuda::Divisor divisor(by);
    EXPECT_EQ(divisor, by);
    for (const int64_t n : numbers) {
      if (by == 0) continue;
      ASSERT_EQ(n / divisor, n / by) << n << " / " << by;
      ASSERT_EQ(n % divisor, n % by) << n << " % " << by;
    }
  }
}

TEST(CudaDivisor, DividesSmallNumbers) {
  constexpr uint32_t kMost = std::numeric_limits<int32_t>::max();
  std::mt19937 random(1);
  std::vector<uint32_t> numbers = {0, 1, 2, 3, 7, 641, kMost, kMost - 1};
  for (int bits = 2; bits < 31; ++bits) {
    const uint32_t power = uint32_t{1} << bits;
    numbers.insert(numbers.end(), {power - 1, power, power + 1});
    numbers.push_back(static_cast<uint32_t>(random() >> (32 - bits)));
  }
  for (const uint32_t by : numbers) {
    const cuda::SmallDivisor divisor(by);
    EXPECT_EQ(divisor.value, by);
    for (const uint32_t n : numbers) {
      if (by == 0) continue;
      ASSERT_EQ(n / divisor, n / by) << n << " / " << by;
    }
    for (uint32_t times = 1; by > 1 && times < 1000; ++times) {  // about multiples
      const uint64_t n = uint64_t{by} * (kMost / by / 1000 * times + times % 7);
      if (n == 0 || n > kMost) continue;
      ASSERT_EQ(static_cast<uint32_t>(n) / divisor, n / by);
      ASSERT_EQ(static_cast<uint32_t>(n - 1) / divisor, (n - 1) / by);
    }
  }
}

struct Part {  // of rows of `width` numbers: those from `begin` on
  int64_t width, begin, size;
  bool in_vectors;
};
constexpr Part kParts[] = {
    {48, 0, 24, true},   // as wide as vectors
    {48, 8, 16, true},   // begins at one
    {26, 0, 13, false},  // no whole vectors
    {25, 0, 24, false},  // rows begin anywhere
    {48, 2, 24, false},  // all begin beside one
};

TEST_P(CudaVectors, Activations) {
  for (const Part& part : kParts) {
    const Tensor wide = RandomTensor({5, part.width}, 1, GetParam(), 2);
    const Tensor gates = RandomTensor({5, part.size}, 2, GetParam(), 2);
    const ConstView values = wide.view().Slice(1, part.begin, part.begin + part.size);
    const int64_t count = 5 * part.size;
    for (const DType out : kTypes) {
      for (const Activation activation :
           {Activation::kNone, Activation::kGeluErf, Activation::kGeluTanh, Activation::kSilu,
            Activation::kRelu}) {
        const auto run = [&](const auto& a) {
          EXPECT_EQ(RunInVectors(count, cuda::GluElement(a)), part.in_vectors) << part.width;
        };
        const Shape shape{5, part.size};
        ExpectLikeRef(GluTable(), GluArgs{values, gates, activation, {}}, shape, out, run);
        ExpectLikeRef(GluTable(), GluArgs{gates, values, activation, {}}, shape, out, run);
        ExpectLikeRef(ActivateTable(), ActivateArgs{values, activation, {}}, shape, out, run);
      }
    }
  }
}

TEST_P(CudaVectors, Conversions) {
  for (const Part& part : kParts) {
    const Tensor wide = RandomTensor({5, part.width}, 1, GetParam());
    const ConstView values = wide.view().Slice(1, part.begin, part.begin + part.size);
    for (const DType type : kTypes) {
      Tensor out({5, part.size}, type);
      cuda::ConvertElement body;
      body.x = cuda::Numbers(values);
      body.out = cuda::Numbers(out.mutable_view());
      body.width = part.size;
      body.x_stride = part.width;
      EXPECT_EQ(RunInVectors(5 * part.size, body), part.in_vectors);
      EXPECT_TRUE(SameBits(out, Cast(values, type)));
    }
  }
}

TEST(CudaSplit, LosesNothing) {
  for (const Part& part : kParts) {
    Tensor wide = RandomTensor({5, part.width}, 1);
    const ConstView values = wide.view().Slice(1, part.begin, part.begin + part.size);
    const float odd[] = {INFINITY, -INFINITY, NAN, std::numeric_limits<float>::max(), 0};
    for (int64_t row = 0; row < 5; ++row) {
      wide.MutableData<float>()[row * part.width + part.begin] = odd[row];
    }
    Tensor first({5, part.size}, DType::kBF16);
    Tensor second({5, part.size}, DType::kBF16);
    cuda::SplitElement body;
    body.x = cuda::Numbers(values);
    body.first = cuda::Numbers(first.mutable_view());
    body.second = cuda::Numbers(second.mutable_view());
    body.width = part.size;
    body.x_stride = part.width;
    EXPECT_EQ(RunInVectors(5 * part.size, body), part.in_vectors);
    const Tensor want = Cast(values, DType::kF32);
    const Tensor high = Cast(first, DType::kF32);
    const Tensor low = Cast(second, DType::kF32);
    for (int64_t i = 0; i < want.shape().numel(); ++i) {
      const float x = want.Data<float>()[i];
      const float sum = high.Data<float>()[i] + low.Data<float>()[i];
      if (i % part.size == 0 && i < 3 * part.size) {  // infinite, or NaN
        EXPECT_TRUE(sum == x || (std::isnan(sum) && std::isnan(x))) << x;
        EXPECT_EQ(high.Data<float>()[i], 0) << x;
      } else if (i == 3 * part.size) {
        EXPECT_FALSE(std::isnan(sum));
      } else {
        EXPECT_LE(std::abs(sum - x), std::ldexp(std::abs(x), -17)) << x;
      }
    }
  }
}

// activation(product + bias) + residual, by ref where there is an op for it.
Tensor Finished(ConstView product, ConstView bias, ConstView residual) {
  Tensor sum = Cast(product, DType::kF32);
  const int64_t width = product.shape[1];
  for (int64_t i = 0; i < product.numel(); ++i) {
    if (!bias.empty()) sum.MutableData<float>()[i] += bias.Data<float>()[i % width];
  }
  RunImplementation(
      ActivateTable(), "ref",
      ActivateArgs{.x = sum, .activation = Activation::kSilu, .out = sum.mutable_view()});
  if (residual.empty()) return sum;
  const Tensor added = Cast(residual, DType::kF32);
  for (int64_t i = 0; i < product.numel(); ++i) {
    sum.MutableData<float>()[i] += added.Data<float>()[i];
  }
  return sum;
}

TEST_P(CudaVectors, Epilogues) {
  for (const int64_t width : {8, 24, 12, 7}) {
    const Tensor product = RandomTensor({5, width}, 1, GetParam());
    const Tensor bias = RandomTensor({width}, 2);
    for (const DType type : kTypes) {
      const Tensor residual = RandomTensor({5, width}, 3, type);
      for (int present = 0; present < 4; ++present) {
        const ConstView shift = present % 2 == 0 ? ConstView() : bias.view();
        const ConstView added = present / 2 == 0 ? ConstView() : residual.view();
        Tensor out({5, width}, type);
        cuda::EpilogueElement body;
        body.product = cuda::Numbers(product);
        body.bias = cuda::Numbers(shift);
        body.residual = cuda::Numbers(added);
        body.out = cuda::Numbers(out.mutable_view());
        body.width = width;
        body.activation = Activation::kSilu;
        EXPECT_EQ(RunInVectors(5 * width, body), width % 8 == 0);
        EXPECT_LT(RmsError(out, Finished(product, shift, added)), ToleranceOf(type));
        body.bias = cuda::Numbers(product).From(1);
        EXPECT_FALSE(body.TakesVectors());
      }
    }
  }
}

TEST(CudaVectorElements, GatedAdd) {
  for (const int64_t width : {4, 24, 13}) {
    const Shape shape{2, 5, width};
    const Tensor residual = RandomTensor(shape, 1);
    const Tensor x = RandomTensor(shape, 2);
    const Tensor rows = RandomTensor({2, 2 * width}, 3);
    const Tensor shared = RandomTensor({width}, 4);
    for (const ConstView& gate : {rows.view().Slice(1, width, 2 * width), shared.view()}) {
      for (const ConstView& added : {residual.view(), ConstView()}) {
        ExpectLikeRef(GatedAddTable(), GatedAddArgs{added, x, gate, {}}, shape, DType::kF32,
                      [&](const auto& a) {
                        EXPECT_EQ(RunInVectors(10 * width, cuda::GatedAddElement(a)), width != 13);
                      });
      }
    }
  }
}

TEST(CudaVectorElements, LinearCombinations) {
  for (const int64_t size : {1, 7, 44}) {
    std::vector<Tensor> inputs;
    std::vector<Term> terms;
    for (uint32_t count = 1; count <= 8; ++count) {
      inputs.push_back(RandomTensor({size}, count));
      terms.push_back({0.5f + static_cast<float>(count), inputs.back(), 2});
      Tensor want_also({size}, DType::kF32);
      Tensor got_also({size}, DType::kF32);
      const LinearCombinationArgs args{
          .terms = terms, .low = -20, .high = 25, .out = {}, .also = want_also.mutable_view()};
      ExpectLikeRef(LinearCombinationTable(), args, {size}, DType::kF32, [&](auto mine) {
        mine.also = got_also.mutable_view();
        EXPECT_EQ(RunInVectors(size, cuda::LinearCombinationElement(mine)), size == 44);
      });
      EXPECT_LT(RmsError(got_also, want_also), 1e-6);
    }
  }
  Tensor x = RandomTensor({9}, 1);  // in place, which begins beside a vector
  const Tensor before = Cast(x, DType::kF32);
  const View part = x.mutable_view().Slice(0, 1, 9);
  const std::array<Term, 2> terms = {{{2, part}, {1, part}}};
  EXPECT_FALSE(RunInVectors(8, cuda::LinearCombinationElement({.terms = terms, .out = part})));
  for (int i = 0; i < 9; ++i) {
    EXPECT_FLOAT_EQ(x.Data<float>()[i], before.Data<float>()[i] * (i == 0 ? 1.0f : 3.0f));
  }
}

TEST_P(CudaVectors, CausalConvolutions) {
  struct Case {
    int64_t length, channels, taps, begin;  // x begins at channel `begin` of wider tokens
    bool in_vectors;
  };
  for (const Case& c :
       {Case{1, 8, 4, 0, true}, Case{4, 16, 4, 8, true}, Case{11, 24, 4, 16, true},
        Case{11, 24, 4, 2, false}, Case{6, 12, 4, 0, false}, Case{9, 16, 3, 0, false}}) {
    const Tensor wide = RandomTensor({2, c.length, c.channels + 16}, 1, GetParam());
    const Tensor weight = RandomTensor({c.channels, c.taps}, 2);
    const Tensor bias = RandomTensor({c.channels}, 3);
    const Tensor state = RandomTensor({2, c.channels, 5}, 4);
    for (int present = 0; present < 8; ++present) {
      const CausalConv1dArgs args{
          .x = wide.view().Slice(2, c.begin, c.begin + c.channels),
          .weight = weight,
          .bias = present % 2 == 0 ? ConstView() : bias.view(),
          .activation = present % 2 == 0 ? Activation::kNone : Activation::kSilu,
          .reverse = present / 4 != 0,
          .initial_state = present / 2 % 2 == 0 ? ConstView() : state.view(),
          .out = {}};
      for (const DType out : kTypes) {
        ExpectLikeRef(CausalConv1dTable(), args, {2, c.length, c.channels}, out,
                      [&](const CausalConv1dArgs& mine) {
                        cuda::ConvolveCausally(mine, [&](int64_t count, const auto& body) {
                          EXPECT_EQ(count < mine.out.numel(), c.in_vectors) << c.length;
                          RunElements(count, body);
                        });
                      });
      }
    }
  }
}

TEST_P(CudaVectors, SpaceToDepth) {
  for (const int64_t channels : {8, 24, 12}) {
    const Shape wide{2, 4, 6, channels};
    const Shape deep{2, 2, 2, 6 * channels};
    const Tensor x = RandomTensor({2, 4, 6, channels + 8}, 1, GetParam());
    const Tensor folded = RandomTensor({2, 2, 2, 6 * channels + 1}, 2, GetParam());
    for (const int64_t first : {0, 8, 1}) {
      const bool whole = first != 1 && channels != 12;
      const auto run = [&](const auto& a) {
        EXPECT_EQ(RunInVectors(48 * channels, cuda::SpaceDepthElement(a)), whole);
      };
      const SpaceDepthArgs fold{x.view().Slice(3, first, first + channels), 2, 3, false, {}};
      for (const DType out : kTypes) ExpectLikeRef(SpaceDepthTable(), fold, deep, out, run);
    }
    const auto unfold = [&](const ConstView& from, bool whole) {
      const SpaceDepthArgs args{from, 2, 3, true, {}};
      ExpectLikeRef(SpaceDepthTable(), args, wide, GetParam(), [&](const auto& a) {
        EXPECT_EQ(RunInVectors(48 * channels, cuda::SpaceDepthElement(a)), whole);
      });
    };
    unfold(Cast(folded.view().Slice(3, 0, 6 * channels), GetParam()), channels != 12);
    unfold(folded.view().Slice(3, 0, 6 * channels), false);
  }
  const Tensor planes = RandomTensor({2, 8, 4, 6}, 3, GetParam());  // channels lie apart
  const SpaceDepthArgs fold{planes.view().Permute({0, 2, 3, 1}), 2, 3, false, {}};
  ExpectLikeRef(SpaceDepthTable(), fold, {2, 2, 2, 48}, GetParam(),
                [](const auto& a) { EXPECT_FALSE(RunInVectors(384, cuda::SpaceDepthElement(a))); });
}

TEST_P(CudaVectors, RowsAndTokens) {
  Tensor ids({2, 3}, DType::kI32);
  for (int i = 0; i < 6; ++i) ids.MutableData<int32_t>()[i] = (2 * i) % 5;
  for (const int64_t width : {8, 24, 12, 7}) {
    const Tensor table = RandomTensor({5, width}, 1, GetParam());
    ExpectLikeRef(GatherRowsTable(), GatherRowsArgs{table, ids, {}}, {2, 3, width}, DType::kF32,
                  [&](const auto& a) {
                    EXPECT_EQ(RunInVectors(6 * width, cuda::GatherRowsElement(a)), width % 8 == 0);
                  });
    const auto run = [&](const auto& a) {
      EXPECT_EQ(RunInVectors(6 * width, cuda::SelectTokensElement(a)), width % 4 == 0);
    };
    const Tensor all = RandomTensor({2, 5, width}, 2);
    const Tensor part = RandomTensor({2, 3, width}, 3);
    ExpectLikeRef(SelectTokensTable(), SelectTokensArgs{all, ids, false, {}}, {2, 3, width},
                  DType::kF32, run);
    ExpectLikeRef(SelectTokensTable(), SelectTokensArgs{part, ids, true, {}}, {2, 5, width},
                  DType::kF32, run);
  }
}

TEST(CudaVectorElements, IdsOutsideATableGiveNoNumbers) {
  const Tensor table = RandomTensor({2, 8}, 1);
  Tensor ids({1, 2}, DType::kI32);
  ids.MutableData<int32_t>()[0] = 1;
  ids.MutableData<int32_t>()[1] = 2;
  Tensor out({1, 2, 8}, DType::kF32);
  const auto expect = [&] {
    for (int i = 0; i < 16; ++i) EXPECT_EQ(std::isnan(out.Data<float>()[i]), i >= 8) << i;
  };
  EXPECT_TRUE(RunInVectors(16, cuda::GatherRowsElement({table, ids, out.mutable_view()})));
  expect();
  EXPECT_TRUE(RunInVectors(16, cuda::SelectTokensElement({table.view().Reshape({1, 2, 8}), ids,
                                                          false, out.mutable_view()})));
  expect();
}

TEST_P(CudaVectors, Patches) {
  for (const int64_t channels : {8, 24, 12}) {
    const Tensor x = RandomTensor({2, 5, 4, channels}, 1, GetParam());
    const Tensor weight = RandomTensor({2, channels, 3, 2}, 2);
    const PackedKernel kernel =
        PackKernel(Device::kCpu, weight, DType::kF32, {.stride = 2, .padding = 1});
    Tensor out({2, 3, 3, 2}, DType::kF32);
    for (const DType type : kTypes) {
      cuda::PatchElement body(
          {.x = x, .kernel = &kernel, .bias = {}, .residual = {}, .out = out.mutable_view()});
      Tensor one_by_one({18, 6 * channels}, type);
      Tensor in_vectors({18, 6 * channels}, type);
      body.patches = cuda::Numbers(one_by_one.mutable_view());
      RunElements(18 * 6 * channels, body);  // against ref: CudaBodies.ConvolutionsAsProducts
      body.patches = cuda::Numbers(in_vectors.mutable_view());
      EXPECT_EQ(RunInVectors(18 * 6 * channels, body), channels != 12);
      EXPECT_TRUE(SameBits(in_vectors, one_by_one));
    }
  }
}

TEST_P(CudaVectors, DepthwiseConvolutions) {
  for (const int64_t channels : {8, 24, 12}) {
    for (const Conv2dShape& conv :
         {Conv2dShape{.padding = 1, .groups = channels},
          Conv2dShape{.stride = 2, .padding = 2, .dilation = 2, .groups = channels}}) {
      const Tensor x = RandomTensor({2, 5, 7, channels}, 1, GetParam());
      const Tensor weight = RandomTensor({channels, 1, 3, 3}, 2);
      const Tensor values = Cast(weight.view().Permute({0, 2, 3, 1}), GetParam());
      const Tensor taps_first = Cast(weight.view().Permute({2, 3, 0, 1}), GetParam());
      const Tensor bias = RandomTensor({channels}, 3);
      const PackedKernel kernel = PackKernel(Device::kCpu, weight, DType::kF32, conv);
      const Shape shape{2, conv.stride == 1 ? 5 : 3, conv.stride == 1 ? 7 : 4, channels};
      const Tensor residual = RandomTensor(shape, 4, GetParam());
      const auto run = [&](const Conv2dArgs& mine) {
        cuda::ConvolveInGroups(mine, values, taps_first, [&](int64_t count, const auto& body) {
          EXPECT_EQ(count < mine.out.numel(), channels != 12);
          RunElements(count, body);
        });
      };
      ExpectLikeRef(Conv2dTable(),
                    Conv2dArgs{.x = x,
                               .kernel = &kernel,
                               .bias = bias,
                               .activation = Activation::kSilu,
                               .residual = residual,
                               .out = {}},
                    shape, GetParam(), run);
      ExpectLikeRef(Conv2dTable(),
                    Conv2dArgs{.x = x, .kernel = &kernel, .bias = {}, .residual = {}, .out = {}},
                    shape, GetParam(), run);
    }
  }
}

TEST_P(CudaVectors, Resizing) {
  for (const int64_t channels : {8, 12}) {
    const Tensor x = RandomTensor({2, 5, 7, channels}, 1, GetParam());
    for (const Resampling resampling :
         {Resampling::kNearest, Resampling::kArea, Resampling::kBilinear, Resampling::kBicubic}) {
      for (const Shape& out : {Shape{2, 11, 16, channels}, Shape{2, 2, 3, channels}}) {
        const ResizeArgs args{.x = x, .resampling = resampling, .out = {}};
        ExpectLikeRef(ResizeTable(), args, out, GetParam(), [&](const ResizeArgs& mine) {
          EXPECT_EQ(RunInVectors(out.numel(), cuda::ResizeElement(mine)), channels == 8);
        });
      }
    }
  }
}

}  // namespace
}  // namespace gesso
