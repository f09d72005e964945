// Products on a GPU against ref, with weights packed for it. Without GESSO_TEST_DEVICE=cuda they
// are skipped.
#include <gmock/gmock.h>

#include "kernels/cuda/code_layout.h"
#include "kernels/low_bit.h"
#include "kernels/norm_linear.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::RandomTensor;
using testing_support::RandomWeight;
using testing_support::RmsError;
using testing_support::RunImplementation;
using testing_support::SameBits;
using testing_support::ToleranceOf;

class CudaProducts : public testing::Test {
 protected:
  void SetUp() override {
    if (CurrentBackend() == nullptr) GTEST_SKIP() << "GESSO_TEST_DEVICE=cuda runs this on a GPU";
  }
};

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
// Few rows and many.
constexpr int64_t kRows[] = {1, 2, 5, 16, 17, 130};

// Inputs and outputs that are multiples of nothing; one tile of 16 MiB and some outputs more where
// a weight is written out in so many bytes.
std::array<std::pair<int64_t, int64_t>, 4> SizesFor(size_t bytes) {
  constexpr int64_t kInputs = 4096;
  const int64_t tile = (int64_t{16} << 20) / kInputs / static_cast<int64_t>(bytes);
  return {{{48, 9}, {131, 200}, {96, 384}, {tile / 2 + 4, kInputs}}};
}

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

void ExpectProductsOfFloats(DType dtype, int64_t n, int64_t k) {
  const Tensor weight = RandomWeight(2 * n, k);
  const PackedMatrix exact = PackMatrix(Device::kCpu, weight, DType::kF32, Factors::kWhole);
  const PackedMatrix packed = PackMatrix(Device::kCuda, weight, dtype);
  const Tensor bias = RandomTensor({2 * n}, 3);
  const Tensor constant_bias = RandomTensor({2 * n}, 5);
  Upload(constant_bias);
  for (const int64_t m : kRows) {
    SCOPED_TRACE(fmt::format("{} {} x {} x {}", NameOf(dtype), m, 2 * n, k));
    const Tensor x = RandomTensor({m, k}, 2, dtype);
    const Tensor residual = RandomTensor({m, 2 * n}, 4, dtype);
    LinearArgs args;
    args.x = x;
    EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, dtype), ToleranceOf(dtype));
    // Those of a weight file are added by cuBLASLt in the type of the result.
    for (const Tensor* added : {&bias, &constant_bias}) {
      for (const Activation activation : {Activation::kNone, Activation::kGeluTanh}) {
        args.bias = *added;
        args.activation = activation;
        args.residual = {};
        EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, dtype),
                  ToleranceOf(dtype));
        args.residual = residual;
        EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, dtype),
                  ToleranceOf(dtype));
      }
    }
    LinearGluArgs glu;
    glu.x = x;
    EXPECT_LT(ErrorOf(LinearGluTable(), glu, exact, packed, {m, n}, dtype), ToleranceOf(dtype));
  }
}

TEST_F(CudaProducts, OfFloats) {
  for (const DType dtype : kTypes) {
    for (const auto& [n, k] : SizesFor(SizeOf(dtype))) ExpectProductsOfFloats(dtype, n, k);
  }
}

// Inputs in float32 are not rounded to the type of the weights.
TEST_F(CudaProducts, OfFloat32InputsByBFloat16) {
  for (const auto& [n, k] : SizesFor(SizeOf(DType::kBF16))) {
    const Tensor weight = Cast(RandomWeight(2 * n, k), DType::kBF16);
    const PackedMatrix exact = PackMatrix(Device::kCpu, weight, DType::kF32, Factors::kWhole);
    const PackedMatrix packed = PackMatrix(Device::kCuda, weight, DType::kBF16);
    const Tensor bias = RandomTensor({2 * n}, 3);
    for (const int64_t m : kRows) {
      for (const DType out : kTypes) {
        SCOPED_TRACE(fmt::format("{} {} x {} x {}", NameOf(out), m, 2 * n, k));
        const double bound = out == DType::kBF16 ? ToleranceOf(out) : 2e-5;
        const Tensor x = RandomTensor({m, k}, 2);
        const Tensor residual = RandomTensor({m, 2 * n}, 4, out);
        LinearArgs args;
        args.x = x;
        args.residual = residual;
        EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, out), bound);
        args.bias = bias;
        args.activation = Activation::kSilu;
        EXPECT_LT(ErrorOf(LinearTable(), args, exact, packed, {m, 2 * n}, out), bound);
        LinearGluArgs glu;
        glu.x = x;
        EXPECT_LT(ErrorOf(LinearGluTable(), glu, exact, packed, {m, n}, out), bound);
      }
    }
  }
}

// `exact`: what the CPU multiplies by.
void ExpectProductsOfFewBits(const LowBitMatrix& matrix, const PackedMatrix& exact, DType dtype) {
  const int64_t n = matrix.rows / 2;
  const int64_t k = matrix.cols;
  const PackedMatrix packed = PackLowBit(Device::kCuda, matrix, dtype);
  // Tensor cores add up products of e4m3 numbers in fewer bits than float32 has.
  const double bound = std::max(ToleranceOf(dtype), matrix.type == LowBit::kF8A8 ? 5e-3
                                                    : RoundsInputs(matrix.type)  ? 2e-3
                                                                                 : 3e-5);
  const Tensor bias = RandomTensor({2 * n}, 3);
  for (const int64_t m : kRows) {
    SCOPED_TRACE(
        fmt::format("{} {} {} x {} x {}", NameOf(matrix.type), NameOf(dtype), m, 2 * n, k));
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

TEST_F(CudaProducts, OfFewBits) {
  for (const LowBit type : kLowBits) {
    const bool integer = IsIntegerProduct(type);
    const bool rounds = RoundsInputs(type);
    for (const auto& [n, k] : SizesFor(rounds ? 1 : SizeOf(DType::kBF16))) {
      const LowBitMatrix matrix =
          Quantize(RandomWeight(2 * n, k), type, integer ? HadamardSize(k) : 1);
      // Where inputs are rounded, the CPU does so in the same way.
      const PackedMatrix exact = rounds
                                     ? PackLowBit(Device::kCpu, matrix, DType::kF32)
                                     : PackMatrix(Device::kCpu, matrix.Dequantize(), DType::kF32);
      for (const DType dtype : kTypes) ExpectProductsOfFewBits(matrix, exact, dtype);
    }
  }
}

// A norm and a product of 32 outputs.
struct BehindNorm {
  Tensor x, scale, normed, out;
  PackedMatrix weight;
  LayerNormArgs norm;
  LinearArgs product;

  BehindNorm(LowBit type, int64_t rows, int64_t width)
      : x(RandomTensor({1, rows, width}, 2)),
        scale(RandomTensor({1, width}, 3)),
        normed(x.shape(), DType::kF32),
        out({rows, 32}, DType::kF32),
        weight(PackLowBit(Device::kCuda, Quantize(RandomWeight(32, width), type), DType::kBF16)),
        norm{.x = x, .scale = scale, .shift = {}, .scale_offset = 1, .out = normed.mutable_view()},
        product{
            .x = normed, .weight = &weight, .bias = {}, .residual = {}, .out = out.mutable_view()} {
  }
};

// By what the GPU says of itself.
bool MultipliesFloat8() {
  const std::string_view before = "compute capability ";
  const std::string text = CurrentBackend()->Describe();
  const std::string capability = text.substr(text.find(before) + before.size());
  size_t end = 0;
  const int major = std::stoi(capability, &end);
  return cuda::MultipliesFloat8(major, std::stoi(capability.substr(end + 1)));
}

std::string_view WhyNotOneOp(const NormLinearArgs& args) {
  for (const auto& implementation : NormLinearTable().implementations()) {
    if (implementation.name == "cuda") return implementation.why_not(args).value_or("");
  }
  return "not built";
}

// Rows that a norm rounds, however lanes share them out, against both ops with float32 in between.
TEST_F(CudaProducts, BehindNorms) {
  for (const LowBit type : {LowBit::kW8A8, LowBit::kF8A8}) {
    for (const int64_t k : {60, 128, 256, 512, 1000, 2048, 4092, 8192}) {
      for (const int64_t m : {3, 1000}) {
        SCOPED_TRACE(fmt::format("{} {} x {}", NameOf(type), m, k));
        const BehindNorm both(type, m, k);
        const NormLinearArgs args{both.norm, both.product};
        if (type == LowBit::kF8A8 && !MultipliesFloat8()) {
          EXPECT_EQ(WhyNotOneOp(args), "weights whose products take inputs as they are");
          continue;
        }
        ASSERT_EQ(WhyNotOneOp(args), "");
        RunImplementation(NormLinearTable(), "cuda", args);
        const Tensor got = Cast(both.out, DType::kF32);
        RunImplementation(LayerNormTable(), "cuda", both.norm);
        RunImplementation(LinearTable(), "cuda", both.product);
        EXPECT_TRUE(SameBits(got, both.out));
      }
    }
  }
}

TEST_F(CudaProducts, BehindNormsAreOneOpUnlessAPartIsForced) {
  const BehindNorm both(LowBit::kW8A8, 5, 64);
  const auto ops = [&] {
    Profiler profiler;
    Context ctx{.device = Device::kCuda, .profiler = &profiler};
    NormLinear(ctx, {both.norm, both.product});
    std::vector<std::string> names;
    for (const auto& [name, entry] : profiler.entries()) names.push_back(name);
    return names;
  };
  const std::vector<std::string> one = {"norm_linear/cuda"};
  EXPECT_EQ(ops(), one);
  for (const char* part : {"linear", "layer_norm"}) {
    ForceImplementation(part, "cuda");
    EXPECT_THAT(ops(), testing::UnorderedElementsAre("layer_norm/cuda", "linear/cuda"));
    ForceImplementation("norm_linear", "cuda");
    EXPECT_EQ(ops(), one);
    ForceImplementation("norm_linear", "");
    ForceImplementation(part, "");
  }
}

}  // namespace
}  // namespace gesso
