// Weights in few bits: what rounding loses, and every product against the reference on what the
// codes stand for.
#include "kernels/low_bit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/core/float8.h"
#include "kernels/core/parallel.h"
#include "kernels/cpu/bf16_panels.h"
#include "kernels/cpu/low_bit.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::ForEachFast;
using testing_support::ForEachTarget;
using testing_support::RandomTensor;
using testing_support::RandomWeight;
using testing_support::RmsError;
using testing_support::RunImplementation;
using testing_support::SameBits;

// x as a product that rounds its inputs sees it: rotated, rounded, and rotated back.
Tensor Rounded(ConstView x, const LowBitMatrix& matrix) {
  Tensor rounded = Cast(x, DType::kF32);
  const int64_t cols = matrix.cols;
  for (int64_t row = 0; row < x.numel() / cols; ++row) {
    float* const values = rounded.MutableData<float>() + row * cols;
    if (matrix.hadamard > 1) Hadamard(values, cols, matrix.hadamard);
    if (matrix.type == LowBit::kF8A8) {
      float most = 0;
      for (int64_t k = 0; k < cols; ++k) most = std::max(most, std::abs(values[k]));
      const float scale = E4M3Scale(most);
      for (int64_t k = 0; k < cols; ++k) {
        values[k] = static_cast<float>(E4M3(values[k] / scale)) * scale;
      }
      continue;
    }
    float scale = matrix.input_scale;
    if (scale == 0) {
      for (int64_t k = 0; k < cols; ++k) scale = std::max(scale, std::abs(values[k]) / 127);
    }
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (int64_t k = 0; k < cols; ++k) {
      values[k] = std::clamp(std::nearbyint(values[k] * inverse), -127.0F, 127.0F) * scale;
    }
    if (matrix.hadamard > 1) Hadamard(values, cols, matrix.hadamard);
  }
  return rounded;
}

void Multiply(ConstView x, const PackedMatrix& weight, Tensor& out) {
  Context ctx;
  LinearArgs args;
  args.x = x;
  args.weight = &weight;
  args.out = out.mutable_view();
  Linear(ctx, args);
}

struct Case {
  LowBit type;
  int64_t m, n, k;
  DType x, out;
  bool bias, residual;
  Activation activation;
  float input_scale = 0;
  bool rotated = false;
};

class LowBitTest : public testing::TestWithParam<Case> {};

LowBitMatrix MatrixOf(const Case& c, int64_t rows) {
  LowBitMatrix matrix =
      Quantize(RandomWeight(rows, c.k), c.type, c.rotated ? HadamardSize(c.k) : 1);
  matrix.input_scale = c.input_scale;
  return matrix;
}

// In every order that some product reads.
std::vector<PackedMatrix> PackEveryWay(const LowBitMatrix& matrix) {
  if (IsIntegerProduct(matrix.type)) return {PackLowBit(Device::kCpu, matrix, DType::kF32)};
  return {PackLowBit(Device::kCpu, matrix, DType::kF32),
          cpu::PackLowBit(matrix, {.width = cpu::kPairWidth, .run = 2, .depth = cpu::kPairDepth},
                          DType::kBF16)};
}

double ToleranceFor(const Case& c, const PackedMatrix& packed) {
  const bool narrow = packed.dtype() == DType::kBF16 || c.out == DType::kBF16;
  return narrow ? 1e-2 : 2e-5;
}

TEST_P(LowBitTest, LinearEqualsRef) {
  const Case c = GetParam();
  const LowBitMatrix matrix = MatrixOf(c, c.n);
  const Tensor x = RandomTensor({c.m, c.k}, 2, c.x);
  const Tensor seen = RoundsInputs(c.type) ? Rounded(x, matrix) : Cast(x, DType::kF32);
  const Tensor bias = RandomTensor({c.n}, 3);
  const Tensor residual = RandomTensor({c.m, c.n}, 4, c.out);
  const PackedMatrix exact = PackMatrix(Device::kCpu, matrix.Dequantize(), DType::kF32);
  LinearArgs args;
  args.x = seen;
  args.weight = &exact;
  if (c.bias) args.bias = bias;
  if (c.residual) args.residual = residual;
  args.activation = c.activation;
  Tensor want({c.m, c.n}, c.out);
  args.out = want.mutable_view();
  RunImplementation(LinearTable(), "ref", args);
  ForEachTarget([&] {
    for (const PackedMatrix& packed : PackEveryWay(matrix)) {
      Tensor got({c.m, c.n}, c.out);
      args.weight = &packed;
      args.x = x;
      args.out = got.mutable_view();
      int ran = 0;
      ForEachFast(LinearTable(), args, [&](std::string_view name) {
        ++ran;
        RunImplementation(LinearTable(), name, args);
        EXPECT_LT(RmsError(got, want), ToleranceFor(c, packed));
      });
      EXPECT_TRUE(ran > 0 || packed.dtype() == DType::kBF16);
      args.x = seen;
      RunImplementation(LinearTable(), "ref", args);
      EXPECT_LT(RmsError(got, want), c.out == DType::kBF16 ? 5e-3 : 1e-5) << "unpacked";
    }
  });
}

TEST_P(LowBitTest, LinearGluEqualsRef) {
  const Case c = GetParam();
  const LowBitMatrix matrix = MatrixOf(c, 2 * c.n);
  const Tensor x = RandomTensor({c.m, c.k}, 2, c.x);
  const Tensor seen = RoundsInputs(c.type) ? Rounded(x, matrix) : Cast(x, DType::kF32);
  const PackedMatrix exact = PackMatrix(Device::kCpu, matrix.Dequantize(), DType::kF32);
  LinearGluArgs args;
  args.x = seen;
  args.weight = &exact;
  Tensor want({c.m, c.n}, c.out);
  args.out = want.mutable_view();
  RunImplementation(LinearGluTable(), "ref", args);
  ForEachTarget([&] {
    for (const PackedMatrix& packed : PackEveryWay(matrix)) {
      Tensor got({c.m, c.n}, c.out);
      args.weight = &packed;
      args.x = x;
      args.out = got.mutable_view();
      ForEachFast(LinearGluTable(), args, [&](std::string_view name) {
        RunImplementation(LinearGluTable(), name, args);
        EXPECT_LT(RmsError(got, want), ToleranceFor(c, packed));
      });
    }
  });
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  constexpr DType kF32 = DType::kF32;
  constexpr DType kBF16 = DType::kBF16;
  for (const LowBit type : kLowBits) {
    for (const int64_t m : {1, 7, 65}) {
      // Inputs that fill no group, no register, no byte; several groups.
      for (const auto& [n, k] :
           {std::pair<int64_t, int64_t>{48, 9}, {9, 6}, {131, 200}, {96, 384}}) {
        cases.push_back({type, m, n, k, kF32, kF32, false, false, Activation::kNone});
        cases.push_back({type, m, n, k, kBF16, kBF16, true, true, Activation::kGeluTanh});
        cases.push_back({type, m, n, k, kF32, kF32, true, true, Activation::kSilu});
        if (!IsIntegerProduct(type)) continue;
        cases.push_back({type, m, n, k, kF32, kF32, false, true, Activation::kNone, 0.02F});
        cases.push_back({type, m, n, k, kBF16, kF32, true, false, Activation::kNone, 0, true});
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Shapes, LowBitTest, testing::ValuesIn(Cases()));

TEST(LowBit, CodesStandForWhatTheHeaderSays) {
  LowBitMatrix matrix;
  matrix.rows = 1;
  matrix.cols = 130;  // two groups
  matrix.codes = Tensor({1, 130}, DType::kI8);
  matrix.codes.MutableData<int8_t>()[0] = -127;
  matrix.codes.MutableData<int8_t>()[129] = 5;
  matrix.scale = Tensor({1, 2}, DType::kF32);
  matrix.scale.MutableData<float>()[0] = 0.5F;
  matrix.scale.MutableData<float>()[1] = 2;
  EXPECT_EQ(matrix.At(0, 0), -63.5F);
  EXPECT_EQ(matrix.At(0, 129), 10);
  matrix.type = LowBit::kQ4;
  matrix.codes = Tensor({1, 65}, DType::kU8);
  matrix.codes.MutableData<uint8_t>()[0] = 0xf1;
  EXPECT_EQ(matrix.At(0, 0), -3.5F);  // the low half
  EXPECT_EQ(matrix.At(0, 1), 3.5F);
  matrix.type = LowBit::kW4A8;
  matrix.scale = Tensor({1}, DType::kF32);
  matrix.scale.MutableData<float>()[0] = 0.25F;
  matrix.group_scale = Tensor({1, 2}, DType::kU8);
  matrix.group_scale.MutableData<uint8_t>()[0] = 3;
  EXPECT_EQ(matrix.At(0, 1), 7 * 3 * 0.25F);
}

TEST(LowBit, RoundingLosesWhatItsBitsSay) {
  const Tensor weight = RandomWeight(64, 500);
  const std::pair<LowBit, double> bounds[] = {{LowBit::kQ8, 0.008},  {LowBit::kQ4, 0.13},
                                              {LowBit::kW8A8, 0.01}, {LowBit::kW4A8, 0.14},
                                              {LowBit::kF8, 0.03},   {LowBit::kF8A8, 0.03}};
  for (const auto& [type, bound] : bounds) {
    for (const int64_t hadamard : {1, 4}) {
      if (hadamard > 1 && !IsIntegerProduct(type)) continue;
      const LowBitMatrix matrix = Quantize(weight, type, hadamard);
      EXPECT_NO_THROW(matrix.Check());
      const double error = RmsError(matrix.Dequantize(), weight);
      EXPECT_LT(error, bound) << NameOf(type);
      EXPECT_GT(error, bound / 4) << NameOf(type);
    }
    // What it stands for is a matrix that rounds to itself.
    const LowBitMatrix once = Quantize(weight, type);
    const LowBitMatrix twice = Quantize(once.Dequantize(), type);
    EXPECT_LT(RmsError(twice.Dequantize(), once.Dequantize()), IsFourBit(type) ? 0.03 : 3e-3)
        << NameOf(type);
  }
}

TEST(LowBit, ZerosStayZeros) {
  for (const LowBit type : kLowBits) {
    const LowBitMatrix matrix = Quantize(Tensor({3, 200}, DType::kF32), type);
    EXPECT_NO_THROW(matrix.Check());
    const Tensor weight = matrix.Dequantize();
    for (int64_t i = 0; i < 600; ++i) EXPECT_EQ(weight.Data<float>()[i], 0);
    const PackedMatrix packed = PackLowBit(Device::kCpu, matrix, DType::kF32);
    const Tensor x({2, 200}, DType::kF32);  // rows without a largest value
    Tensor out({2, 3}, DType::kF32);
    Multiply(x, packed, out);
    for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(out.Data<float>()[i], 0);
  }
}

TEST(LowBit, TakesTheMemoryThatItsNameSays) {
  const Tensor weight = RandomWeight(256, 1024);
  const auto wide = static_cast<double>(weight.view().numel() * 2);
  const std::pair<LowBit, double> bounds[] = {{LowBit::kQ8, 0.53},   {LowBit::kQ4, 0.28},
                                              {LowBit::kW8A8, 0.51}, {LowBit::kW4A8, 0.27},
                                              {LowBit::kF8, 0.53},   {LowBit::kF8A8, 0.53}};
  for (const auto& [type, bound] : bounds) {
    const LowBitMatrix matrix = Quantize(weight, type);
    EXPECT_LT(static_cast<double>(matrix.bytes()) / wide, bound) << NameOf(type);
    const PackedMatrix packed = PackLowBit(Device::kCpu, matrix, DType::kBF16);
    EXPECT_LT(static_cast<double>(packed.bytes()) / wide, bound) << NameOf(type);
  }
}

TEST(LowBit, RotationHelpsAgainstOutliers) {
  Tensor x = RandomTensor({16, 512}, 3);
  for (int64_t row = 0; row < 16; ++row) x.MutableData<float>()[row * 512 + 77] = 80;
  const Tensor weight = RandomWeight(64, 512);
  Tensor want({16, 64}, DType::kF32);
  Tensor got({16, 64}, DType::kF32);
  Multiply(x, PackMatrix(Device::kCpu, weight, DType::kF32), want);
  const auto error = [&](int64_t hadamard) {
    const PackedMatrix packed =
        PackLowBit(Device::kCpu, Quantize(weight, LowBit::kW8A8, hadamard), DType::kF32);
    Multiply(x, packed, got);
    return RmsError(got, want);
  };
  EXPECT_LT(error(512), error(1) / 2);
}

TEST(Hadamard, IsOrthonormalAndItsOwnInverse) {
  EXPECT_EQ(HadamardSize(3072), 1024);
  EXPECT_EQ(HadamardSize(7), 1);
  float unit[8] = {0, 1, 0, 0, 0, 0, 0, 0};
  Hadamard(unit, 8, 4);  // row 1 of the first block: + - + -
  const float row[8] = {0.5F, -0.5F, 0.5F, -0.5F, 0, 0, 0, 0};
  for (int i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(unit[i], row[i]);
  const Tensor x = RandomTensor({1, 96}, 5);
  Tensor twice = Cast(x, DType::kF32);
  Hadamard(twice.MutableData<float>(), 96, 32);
  EXPECT_GT(RmsError(twice, x), 0.5);
  Hadamard(twice.MutableData<float>(), 96, 32);
  EXPECT_LT(RmsError(twice, x), 1e-6);
}

TEST(LowBit, DoesNotDependOnThreads) {
  const int before = NumThreads();
  const Tensor x = RandomTensor({301, 192}, 2);
  for (const LowBit type : kLowBits) {
    const LowBitMatrix matrix = Quantize(RandomWeight(288, 192), type);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const PackedMatrix packed = PackLowBit(Device::kCpu, matrix, dtype);
      const auto run = [&](int threads) {
        SetNumThreads(threads);
        Tensor out({301, 144}, DType::kF32);
        Context ctx;
        LinearGlu(ctx, {.x = x, .weight = &packed, .out = out.mutable_view()});
        return out;
      };
      EXPECT_TRUE(SameBits(run(1), run(3))) << NameOf(type);
    }
  }
  SetNumThreads(before);
}

TEST(LowBit, RefusesWhatDoesNotFit) {
  const LowBitMatrix good = Quantize(RandomWeight(3, 200), LowBit::kW4A8);
  const auto refuses = [&](const char* part, const auto& change) {
    LowBitMatrix matrix = good;
    change(matrix);
    ExpectError(ErrorKind::kFormat, part, [&] { PackLowBit(Device::kCpu, matrix, DType::kF32); });
  };
  refuses("codes", [](LowBitMatrix& m) { m.codes = Tensor({3, 99}, DType::kU8); });
  refuses("codes", [](LowBitMatrix& m) { m.codes = Tensor({3, 100}, DType::kI8); });
  refuses("scale", [](LowBitMatrix& m) { m.scale = Tensor({4}, DType::kF32); });
  refuses("scale", [](LowBitMatrix& m) { m.scale = Tensor(); });
  refuses("scale: number 2 is nan", [](LowBitMatrix& m) {
    m.scale = Tensor({3}, DType::kF32);
    m.scale.MutableData<float>()[2] = std::nanf("");
  });
  refuses("group_scale: number 0 is 0", [](LowBitMatrix& m) {
    m.group_scale = Tensor({3, 2}, DType::kU8);
  });
  refuses("group_scale", [](LowBitMatrix& m) { m.group_scale = Tensor({3, 1}, DType::kU8); });
  refuses("input_scale", [](LowBitMatrix& m) { m.input_scale = -1; });
  refuses("hadamard", [](LowBitMatrix& m) { m.hadamard = 16; });
  refuses("hadamard", [](LowBitMatrix& m) { m.hadamard = 0; });
  refuses("codes", [](LowBitMatrix& m) { m.type = LowBit::kW8A8; });
  const LowBitMatrix groups = Quantize(RandomWeight(3, 200), LowBit::kQ8);
  LowBitMatrix rotated = groups;
  rotated.hadamard = 8;
  ExpectError(ErrorKind::kFormat, "w8a8", [&] { rotated.Check(); });
  LowBitMatrix floats = Quantize(RandomWeight(3, 200), LowBit::kF8A8);
  floats.input_scale = 1;
  ExpectError(ErrorKind::kFormat, "w8a8", [&] { floats.Check(); });
  floats.input_scale = 0;
  floats.codes.MutableData<E4M3>()[7] = E4M3(NAN);
  ExpectError(ErrorKind::kFormat, "codes: hold NaN", [&] { floats.Check(); });
  floats.type = LowBit::kW8A8;
  ExpectError(ErrorKind::kFormat, "expected int8", [&] { floats.Check(); });
}

TEST(LowBit, NamesAreThoseOfTheCommandLine) {
  for (const LowBit type : kLowBits) {
    EXPECT_EQ(LowBitNamed(NameOf(type)), type);
  }
  EXPECT_FALSE(LowBitNamed("q5").has_value());
}

}  // namespace
}  // namespace gesso
