// Bodies of CUDA kernels that take several numbers at once against ref, run on the CPU: in vectors
// where memory and widths allow that, and one by one where they do not.
#include <algorithm>
#include <array>
#include <random>

#include "kernels/cuda/device/pointwise.cuh"
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
                        EXPECT_EQ(RunInVectors(10 * width, cuda::GatedAddElement(a)),
                                  width == 24 || (width == 4 && gate.shape.rank() == 1));
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

}  // namespace
}  // namespace gesso
