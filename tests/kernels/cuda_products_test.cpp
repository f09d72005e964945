// Products on a GPU against ref, with weights packed for it. Without GESSO_TEST_DEVICE=cuda they
// are skipped.
#include "kernels/low_bit.h"
#include "kernels/noise.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::RandomTensor;
using testing_support::RandomWeight;
using testing_support::RmsError;
using testing_support::RunImplementation;
using testing_support::ToleranceOf;

class CudaProducts : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (CurrentBackend() == nullptr) GTEST_SKIP() << "GESSO_TEST_DEVICE=cuda runs this on a GPU";
  }
};
INSTANTIATE_TEST_SUITE_P(Types, CudaProducts, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

// Few rows and many; inputs and outputs that are multiples of nothing; more than one tile.
constexpr int64_t kRows[] = {1, 2, 5, 16, 17, 130};
constexpr std::pair<int64_t, int64_t> kSizes[] = {{48, 9}, {131, 200}, {96, 384}, {4100, 4096}};

// Both implementations with what they take: `got` as packed for the device.
template <class Args>
double ErrorOf(const OpTable<Args>& table, Args args, const PackedMatrix& exact,
               const PackedMatrix& packed, const Shape& shape, DType dtype) {
  Tensor want(shape, dtype);
  Tensor got(shape, dtype);
  args.weight = &packed;
  args.out = got.mutable_view();
  EXPECT_FALSE(table.Choose(Device::kCuda, args).why_not(args).has_value());
  EXPECT_EQ(table.Choose(Device::kCuda, args).name, "cuda");
  RunImplementation(table, "cuda", args);
  args.weight = &exact;
  args.out = want.mutable_view();
  RunImplementation(table, table.Choose(Device::kCpu, args).name, args);
  return RmsError(got, want);
}

TEST_P(CudaProducts, OfFloats) {
  const DType dtype = GetParam();
  for (const auto& [n, k] : kSizes) {
    const Tensor weight = RandomWeight(2 * n, k);
    const PackedMatrix exact = PackMatrix(Device::kCpu, weight, DType::kF32, Factors::kWhole);
    const PackedMatrix packed = PackMatrix(Device::kCuda, weight, dtype);
    const Tensor bias = RandomTensor({2 * n}, 3);
    for (const int64_t m : kRows) {
      SCOPED_TRACE(fmt::format("{} x {} x {}", m, 2 * n, k));
      const Tensor x = RandomTensor({m, k}, 2, dtype);
      const Tensor residual = RandomTensor({m, 2 * n}, 4, dtype);
      LinearArgs args;
      args.x = x;
      EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, dtype), ToleranceOf(dtype));
      args.bias = bias;
      args.residual = residual;
      args.activation = Activation::kGeluTanh;
      EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, dtype), ToleranceOf(dtype));
      LinearGluArgs glu;
      glu.x = x;
      EXPECT_LT(ErrorOf(LinearGluTable(), glu, exact, packed, {m, n}, dtype), ToleranceOf(dtype));
    }
  }
}

TEST_P(CudaProducts, OfFewBits) {
  const DType dtype = GetParam();
  for (const LowBit type : {LowBit::kQ8, LowBit::kQ4, LowBit::kW8A8, LowBit::kW4A8}) {
    for (const auto& [n, k] : kSizes) {
      LowBitMatrix matrix =
          Quantize(RandomWeight(2 * n, k), type, IsIntegerProduct(type) ? HadamardSize(k) : 1);
      const PackedMatrix packed = PackLowBit(Device::kCuda, matrix, dtype);
      // Integer products round their inputs: the CPU's own do so in the same way.
      const PackedMatrix exact = IsIntegerProduct(type)
                                     ? PackLowBit(Device::kCpu, matrix, DType::kF32)
                                     : PackMatrix(Device::kCpu, matrix.Dequantize(), DType::kF32);
      const double bound = std::max(ToleranceOf(dtype), IsIntegerProduct(type) ? 2e-3 : 3e-5);
      const Tensor bias = RandomTensor({2 * n}, 3);
      for (const int64_t m : kRows) {
        SCOPED_TRACE(fmt::format("{} {} x {} x {}", NameOf(type), m, 2 * n, k));
        const Tensor x = RandomTensor({m, k}, 2, dtype);
        LinearArgs args;
        args.x = x;
        args.bias = bias;
        args.activation = Activation::kSilu;
        EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, dtype), bound);
        LinearGluArgs glu;
        glu.x = x;
        EXPECT_LT(ErrorOf(LinearGluTable(), glu, exact, packed, {m, n}, dtype), bound);
      }
      // What ref multiplies where it is forced.
      std::vector<float> unpacked(static_cast<size_t>(2 * n * k));
      packed.storage().Unpack(unpacked.data());
      const ConstView got(unpacked.data(), {2 * n, k}, DType::kF32);
      EXPECT_LT(RmsError(got, matrix.Dequantize()), 1e-6);
    }
  }
}

TEST_P(CudaProducts, NormalNumbersAreThoseOfTheCpu) {
  const std::array<NormalTerm, 2> terms = {{{0.5f, 7}, {-2, uint64_t{1} << 63}}};
  for (const int64_t size : {1, 1001, 200000}) {
    Tensor want({size}, DType::kF32);
    Tensor got({size}, DType::kF32);
    RunImplementation(DrawNormalTable(), "ref",
                      {.seed = 5, .terms = terms, .out = want.mutable_view()});
    RunImplementation(DrawNormalTable(), "cuda",
                      {.seed = 5, .terms = terms, .out = got.mutable_view()});
    EXPECT_LT(RmsError(got, want), 1e-6);
  }
}

}  // namespace
}  // namespace gesso
