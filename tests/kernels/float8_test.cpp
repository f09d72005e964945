// 8-bit floating-point numbers: every code, and every bfloat16 number rounded, against plain
// arithmetic; what products make of them, bit by bit.
#include "kernels/core/float8.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/bf16_panels.h"
#include "kernels/cpu/low_bit.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using testing_support::ForEachFast;
using testing_support::ForEachTarget;
using testing_support::RandomTensor;
using testing_support::RunImplementation;
using testing_support::SameBits;

E4M3 CodeOf(int bits) {
  E4M3 code;
  code.bits = static_cast<uint8_t>(bits);
  return code;
}

// As the paper defines them, by exponents.
double PlainE4M3(int bits) {
  const int exponent = (bits >> 3) & 15;
  const int mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return NAN;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return bits >= 128 ? -magnitude : magnitude;
}

double PlainE5M2(int bits) {
  const int exponent = (bits >> 2) & 31;
  const int mantissa = bits & 3;
  const double magnitude = exponent == 31  ? (mantissa == 0 ? INFINITY : NAN)
                           : exponent == 0 ? std::ldexp(mantissa, -16)
                                           : std::ldexp(4 + mantissa, exponent - 17);
  return bits >= 128 ? -magnitude : magnitude;
}

// The code nearest to `value` >= 0, by comparing it with all of them.
int PlainRounding(double value) {
  int best = 0;
  for (int code = 1; code < 0x7f; ++code) {
    const double gain = std::abs(value - PlainE4M3(best)) - std::abs(value - PlainE4M3(code));
    if (gain > 0 || (gain == 0 && code % 2 == 0)) best = code;
  }
  return best;
}

void ExpectSame(float got, double want, int bits) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << bits;
  } else {
    EXPECT_EQ(got, want) << bits;
    EXPECT_EQ(std::signbit(got), std::signbit(want)) << bits;
  }
}

TEST(Float8, CodesAreTheNumbersOfThePaper) {
  Tensor one({1}, DType::kF32);
  for (int bits = 0; bits < 256; ++bits) {
    ExpectSame(static_cast<float>(CodeOf(bits)), PlainE4M3(bits), bits);
    EXPECT_EQ(CodeOf(bits).IsNaN(), std::isnan(PlainE4M3(bits)));
    const auto byte = static_cast<uint8_t>(bits);
    const auto widened = [&](DType dtype) {
      return Cast(ConstView(&byte, {1}, dtype), DType::kF32).Data<float>()[0];
    };
    ExpectSame(widened(DType::kF8E4M3), PlainE4M3(bits), bits);
    ExpectSame(widened(DType::kF8E5M2), PlainE5M2(bits), bits);
    const Tensor narrow = Cast(ConstView(&byte, {1}, DType::kF8E4M3), DType::kBF16);
    ExpectSame(static_cast<float>(narrow.Data<BFloat16>()[0]), PlainE4M3(bits), bits);
  }
  testing_support::ExpectError(ErrorKind::kUnsupported, "float8_e4m3",
                               [&] { Cast(one, DType::kF8E4M3); });
}

TEST(Float8, RoundsToTheNearestCode) {
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {  // all bfloat16 numbers
    const auto value = std::bit_cast<float>(bits << 16);
    const int want = PlainRounding(value);
    ASSERT_EQ(E4M3(value).bits, want) << value;
    ASSERT_EQ(E4M3(-value).bits, want | 128) << value;
  }
  for (int code = 0; code < 0x7e; ++code) {  // halfway between two codes, and a little beside it
    const auto middle = static_cast<float>((PlainE4M3(code) + PlainE4M3(code + 1)) / 2);
    EXPECT_EQ(E4M3(middle).bits, code + code % 2);
    EXPECT_EQ(E4M3(std::nextafter(middle, 0.0F)).bits, code);
    EXPECT_EQ(E4M3(std::nextafter(middle, 500.0F)).bits, code + 1);
  }
  EXPECT_EQ(E4M3(INFINITY).bits, 0x7e);
  EXPECT_EQ(E4M3(-1e30F).bits, 0xfe);
  EXPECT_TRUE(E4M3(NAN).IsNaN());
  EXPECT_TRUE(E4M3(-NAN).IsNaN());
}

TEST(Float8, ScalesArePowersOfTwo) {
  EXPECT_EQ(E4M3Scale(448), 1);
  EXPECT_EQ(E4M3Scale(448.01F), 2);
  EXPECT_EQ(E4M3Scale(224.01F), 1);
  EXPECT_EQ(E4M3Scale(224), 0.5F);
  EXPECT_EQ(E4M3Scale(1), 0x1p-8F);
  EXPECT_EQ(E4M3Scale(0), 0);
  EXPECT_EQ(E4M3Scale(1e-40F), 0x1p-126F);
  EXPECT_LE(std::numeric_limits<float>::max() / E4M3Scale(std::numeric_limits<float>::max()), 448);
}

// What every product makes of x [M, K] and `matrix`, packed for it in all orders.
template <class Body>
void ForEachProduct(const LowBitMatrix& matrix, ConstView x, const Body& body) {
  const cpu::PanelOrder pairs = {.width = cpu::kPairWidth, .run = 2, .depth = cpu::kPairDepth};
  ForEachTarget([&] {
    for (const PackedMatrix& packed : {PackLowBit(Device::kCpu, matrix, DType::kF32),
                                       cpu::PackLowBit(matrix, pairs, DType::kBF16)}) {
      Tensor out({x.shape[0], matrix.rows}, DType::kF32);
      LinearArgs args;
      args.x = x;
      args.weight = &packed;
      args.out = out.mutable_view();
      ForEachFast(LinearTable(), args, [&](std::string_view name) {
        SCOPED_TRACE(name);
        RunImplementation(LinearTable(), name, args);
        body(out);
      });
    }
  });
}

// 256 inputs, each of which alone is one.
Tensor Ones() {
  Tensor x({256, 256}, DType::kF32);
  for (int64_t i = 0; i < 256; ++i) x.MutableData<float>()[i * 257] = 1;
  return x;
}

TEST(Float8, ProductsDecodeEveryCode) {
  LowBitMatrix matrix;
  matrix.type = LowBit::kF8;
  matrix.rows = 40;
  matrix.cols = 256;
  matrix.codes = Tensor({40, 256}, DType::kF8E4M3);
  for (int64_t i = 0; i < 40 * 256; ++i) {  // another shift of all codes in every row
    const auto bits = static_cast<uint8_t>(i + i / 256);
    if ((bits & 0x7f) != 0x7f) matrix.codes.MutableData<E4M3>()[i].bits = bits;
  }
  matrix.scale = Tensor({40, 2}, DType::kF32);
  std::fill_n(matrix.scale.MutableData<float>(), 80, 0.5F);
  ForEachProduct(matrix, Ones(), [&](const Tensor& out) {
    for (int64_t i = 0; i < 40 * 256; ++i) {
      const double want = PlainE4M3(matrix.codes.Data<E4M3>()[i].bits) / 2;
      ASSERT_EQ(out.Data<float>()[i % 256 * 40 + i / 256], want) << i;
    }
  });
}

TEST(Float8, ProductsRoundTheirInputs) {
  LowBitMatrix matrix = Quantize(Ones(), LowBit::kF8A8);
  // Values of all sizes, some below the smallest code; a row of zeros, of which none is largest; a
  // row with a NaN, which is seen in the outputs.
  Tensor x = RandomTensor({9, 256}, 2);
  float* const values = x.MutableData<float>();
  for (int64_t i = 0; i < 7 * 256; ++i) values[i] *= std::ldexp(1.0F, -static_cast<int>(i % 25));
  std::fill_n(values + 7 * 256, 256, 0.0F);
  values[8 * 256 + 3] = NAN;
  ForEachProduct(matrix, x, [&](const Tensor& out) {
    for (int64_t row = 0; row < 8; ++row) {
      float most = 0;
      for (int64_t k = 0; k < 256; ++k) most = std::max(most, std::abs(values[row * 256 + k]));
      int exponent = 0;
      const double half = std::frexp(most / 448, &exponent);
      const double scale = most == 0 ? 1 : std::ldexp(1, half == 0.5 ? exponent - 1 : exponent);
      for (int64_t k = 0; k < 256; ++k) {
        const double value = values[row * 256 + k] / scale;
        const double want = PlainE4M3(PlainRounding(std::abs(value))) * scale;
        ASSERT_EQ(out.Data<float>()[row * 256 + k], value < 0 ? -want : want) << row << ", " << k;
      }
    }
    EXPECT_TRUE(std::isnan(out.Data<float>()[8 * 256 + 3]));
  });
}

}  // namespace
}  // namespace gesso
