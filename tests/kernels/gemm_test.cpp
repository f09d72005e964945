// Every implementation of Linear and LinearGlu against ref, on shapes that fit no block size.
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/core/parallel.h"
#include "kernels/cpu/digits.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/gemm_digits.h"
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

struct Case {
  int64_t m, n, k;
  DType x, weight, out;
  bool bias, residual;
  Activation activation;
};

double Tolerance(const Case& c) {
  const bool narrow = c.x == DType::kBF16 || c.weight == DType::kBF16 || c.out == DType::kBF16;
  return testing_support::ToleranceOf(narrow ? DType::kBF16 : DType::kF32);
}

class LinearTest : public testing::TestWithParam<Case> {};

TEST_P(LinearTest, EqualsRef) {
  const Case c = GetParam();
  const Tensor x = RandomTensor({c.m, c.k}, 2, c.x);
  const Tensor bias = RandomTensor({c.n}, 3);
  const Tensor residual = RandomTensor({c.m, c.n}, 4, c.out);
  ForEachTarget([&] {
    const PackedMatrix packed = PackMatrix(Device::kCpu, RandomWeight(c.n, c.k), c.weight);
    LinearArgs args;
    args.x = x;
    args.weight = &packed;
    if (c.bias) args.bias = bias;
    if (c.residual) args.residual = residual;
    args.activation = c.activation;
    Tensor want({c.m, c.n}, c.out);
    args.out = want.mutable_view();
    RunImplementation(LinearTable(), "ref", args);
    ForEachFast(LinearTable(), args, [&](std::string_view name) {
      Tensor got({c.m, c.n}, c.out);
      args.out = got.mutable_view();
      args.residual = c.residual ? residual.view() : ConstView();
      RunImplementation(LinearTable(), name, args);
      EXPECT_LT(RmsError(got, want), Tolerance(c));
      if (!c.residual) return;
      Tensor in_place = Cast(residual, c.out);  // the residual may lie where the result goes
      args.out = in_place.mutable_view();
      args.residual = in_place;
      RunImplementation(LinearTable(), name, args);
      EXPECT_EQ(RmsError(in_place, got), 0);
    });
  });
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const DType f32 = DType::kF32;
  const DType bf16 = DType::kBF16;
  for (const int64_t m : {1, 7, 65}) {
    for (const auto& [n, k] : {std::pair<int64_t, int64_t>{48, 9}, {9, 6}, {131, 48}, {256, 384}}) {
      cases.push_back({m, n, k, f32, f32, f32, false, false, Activation::kNone});
      cases.push_back({m, n, k, f32, f32, f32, true, true, Activation::kGeluErf});
      cases.push_back({m, n, k, bf16, bf16, bf16, true, true, Activation::kGeluTanh});
      cases.push_back({m, n, k, f32, bf16, f32, false, true, Activation::kNone});
      cases.push_back({m, n, k, bf16, f32, f32, true, false, Activation::kSilu});
      cases.push_back({m, n, k, f32, f32, bf16, false, true, Activation::kRelu});
      cases.push_back({m, n, k, bf16, bf16, f32, false, true, Activation::kNone});
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Shapes, LinearTest, testing::ValuesIn(Cases()));

TEST(Linear, ReadsRowsWithAnyStride) {
  const Tensor wide = RandomTensor({33, 72}, 2);
  const PackedMatrix packed = PackMatrix(Device::kCpu, RandomWeight(40, 24), DType::kF32);
  LinearArgs args;
  args.x = wide.view().Slice(1, 24, 48);
  args.weight = &packed;
  Tensor want({33, 40}, DType::kF32);
  args.out = want.mutable_view();
  RunImplementation(LinearTable(), "ref", args);
  ForEachFast(LinearTable(), args, [&](std::string_view name) {
    Tensor got({33, 40}, DType::kF32);
    args.out = got.mutable_view();
    RunImplementation(LinearTable(), name, args);
    EXPECT_LT(RmsError(got, want), 1e-5);
  });
}

TEST(Linear, RefIsTheFormula) {
  const float weight[] = {1, 2, -3, 0.5f};
  const float x[] = {2, 1};
  const float bias[] = {-1, 1};
  const float residual[] = {10, 20};
  const PackedMatrix packed =
      PackMatrix(Device::kCpu, ConstView(weight, {2, 2}, DType::kF32), DType::kF32);
  float out[2];
  LinearArgs args;
  args.x = ConstView(x, {1, 2}, DType::kF32);
  args.weight = &packed;
  args.bias = ConstView(bias, {2}, DType::kF32);
  args.residual = ConstView(residual, {1, 2}, DType::kF32);
  args.activation = Activation::kRelu;
  args.out = View(out, {1, 2}, DType::kF32);
  RunImplementation(LinearTable(), "ref", args);
  EXPECT_FLOAT_EQ(out[0], 13);  // relu(2 + 2 - 1) + 10
  EXPECT_FLOAT_EQ(out[1], 20);  // relu(-6 + 0.5 + 1) + 20
}

class LinearGluTest : public testing::TestWithParam<Case> {};

TEST_P(LinearGluTest, EqualsRef) {
  const Case c = GetParam();
  const Tensor x = RandomTensor({c.m, c.k}, 2, c.x);
  ForEachTarget([&] {
    const PackedMatrix packed = PackMatrix(Device::kCpu, RandomWeight(2 * c.n, c.k), c.weight);
    LinearGluArgs args;
    args.x = x;
    args.weight = &packed;
    args.activation = c.activation;
    Tensor want({c.m, c.n}, c.out);
    args.out = want.mutable_view();
    RunImplementation(LinearGluTable(), "ref", args);
    ForEachFast(LinearGluTable(), args, [&](std::string_view name) {
      Tensor got({c.m, c.n}, c.out);
      args.out = got.mutable_view();
      RunImplementation(LinearGluTable(), name, args);
      EXPECT_LT(RmsError(got, want), Tolerance(c));
    });
  });
}

// Inputs in float32 are not rounded to bfloat16.
double NativeTolerance(const Case& c) { return c.out == DType::kBF16 ? 1e-2 : 2e-5; }

// Weights packed for native bfloat16, whether or not this CPU gains from it.
TEST_P(LinearTest, NativeBF16EqualsRef) {
  const Case c = GetParam();
  const PackedMatrix packed = cpu::PackBF16(RandomWeight(c.n, c.k));
  const Tensor x = RandomTensor({c.m, c.k}, 2, c.x);
  const Tensor bias = RandomTensor({c.n}, 3);
  const Tensor residual = RandomTensor({c.m, c.n}, 4, c.out);
  LinearArgs args;
  args.x = x;
  args.weight = &packed;
  if (c.bias) args.bias = bias;
  if (c.residual) args.residual = residual;
  args.activation = c.activation;
  Tensor want({c.m, c.n}, c.out);
  args.out = want.mutable_view();
  RunImplementation(LinearTable(), "ref", args);
  ForEachFast(LinearTable(), args, [&](std::string_view name) {
    Tensor got({c.m, c.n}, c.out);
    args.out = got.mutable_view();
    args.residual = c.residual ? residual.view() : ConstView();
    RunImplementation(LinearTable(), name, args);
    EXPECT_LT(RmsError(got, want), NativeTolerance(c));
    if (!c.residual) return;
    Tensor in_place = Cast(residual, c.out);
    args.out = in_place.mutable_view();
    args.residual = in_place;
    RunImplementation(LinearTable(), name, args);
    EXPECT_EQ(RmsError(in_place, got), 0);
  });
}

TEST(Linear, NativeBF16HidesNeitherInfinityNorNan) {
  constexpr float kMost = std::numeric_limits<float>::max();  // infinity, rounded to bfloat16
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Tensor x = RandomTensor({4, 40}, 1);
  x.MutableData<float>()[3] = kInfinity;
  x.MutableData<float>()[40 + 39] = -kInfinity;
  x.MutableData<float>()[80 + 17] = std::nanf("");
  x.MutableData<float>()[120 + 17] = kMost;
  Tensor ones({1, 40}, DType::kF32);
  std::fill_n(ones.MutableData<float>(), 40, 1.0f);
  const PackedMatrix packed = cpu::PackBF16(ones);
  Tensor out({4, 1}, DType::kF32);
  LinearArgs args;
  args.x = x;
  args.weight = &packed;
  args.out = out.mutable_view();
  ForEachFast(LinearTable(), args, [&](std::string_view name) {
    RunImplementation(LinearTable(), name, args);
    EXPECT_EQ(out.Data<float>()[0], kInfinity);
    EXPECT_EQ(out.Data<float>()[1], -kInfinity);
    EXPECT_TRUE(std::isnan(out.Data<float>()[2]));
    EXPECT_FALSE(std::isnan(out.Data<float>()[3]));
  });
}

TEST_P(LinearGluTest, NativeBF16EqualsRef) {
  const Case c = GetParam();
  const Tensor x = RandomTensor({c.m, c.k}, 2, c.x);
  const PackedMatrix packed = cpu::PackBF16(RandomWeight(2 * c.n, c.k));
  LinearGluArgs args;
  args.x = x;
  args.weight = &packed;
  args.activation = c.activation;
  Tensor want({c.m, c.n}, c.out);
  args.out = want.mutable_view();
  RunImplementation(LinearGluTable(), "ref", args);
  ForEachFast(LinearGluTable(), args, [&](std::string_view name) {
    Tensor got({c.m, c.n}, c.out);
    args.out = got.mutable_view();
    RunImplementation(LinearGluTable(), name, args);
    EXPECT_LT(RmsError(got, want), NativeTolerance(c));
  });
}
INSTANTIATE_TEST_SUITE_P(Shapes, LinearGluTest, testing::ValuesIn(Cases()));

bool SameBits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.view().data, b.view().data, a.view().bytes()) == 0;
}

// A product of 301 rows and its gated twin, both large enough to be shared out.
struct Products {
  Tensor plain{{301, 288}, DType::kF32};
  Tensor gated{{301, 144}, DType::kF32};
};

Products RunProducts(const PackedMatrix& packed, const Tensor& x) {
  Products products;
  Context ctx;
  LinearArgs linear;
  linear.x = x;
  linear.weight = &packed;
  linear.out = products.plain.mutable_view();
  Linear(ctx, linear);
  LinearGluArgs glu;
  glu.x = x;
  glu.weight = &packed;
  glu.out = products.gated.mutable_view();
  LinearGlu(ctx, glu);
  return products;
}

TEST(Linear, DoesNotDependOnThreads) {
  const int before = NumThreads();
  const Tensor x = RandomTensor({301, 96}, 2);
  std::vector<PackedMatrix> matrices = {
      PackMatrix(Device::kCpu, RandomWeight(288, 96), DType::kF32),
      PackMatrix(Device::kCpu, RandomWeight(288, 96), DType::kF32, Factors::kWhole)};
  if (cpu::GainsFromBF16()) matrices.push_back(cpu::PackBF16(RandomWeight(288, 96)));
  for (const PackedMatrix& packed : matrices) {
    SetNumThreads(1);
    const Products alone = RunProducts(packed, x);
    for (const int threads : {2, 3}) {
      SetNumThreads(threads);
      const Products together = RunProducts(packed, x);
      EXPECT_TRUE(SameBits(alone.plain, together.plain)) << threads;
      EXPECT_TRUE(SameBits(alone.gated, together.gated)) << threads;
    }
  }
  SetNumThreads(before);
}

TEST(Linear, DoesNotDependOnVectorsOrBatch) {
  const Tensor x = RandomTensor({301, 96}, 2);
  const Tensor weight = RandomWeight(288, 96);
  for (const Factors factors : {Factors::kWhole, Factors::kSplit}) {
    std::vector<Tensor> results;
    ForEachTarget([&] {
      const PackedMatrix packed = PackMatrix(Device::kCpu, weight, DType::kF32, factors);
      results.push_back(RunProducts(packed, x).plain);
      for (const int64_t batch : {43, 7}) {
        Tensor rows({301, 288}, DType::kF32);
        for (int64_t begin = 0; begin < 301; begin += batch) {
          Context ctx;
          LinearArgs args;
          args.x = x.view().Slice(0, begin, begin + batch);
          args.weight = &packed;
          args.out = rows.mutable_view().Slice(0, begin, begin + batch);
          Linear(ctx, args);
        }
        EXPECT_TRUE(SameBits(rows, results.back())) << batch;
      }
    });
    if (factors == Factors::kSplit) continue;  // which vectors without tiles do not do
    for (const Tensor& result : results) EXPECT_TRUE(SameBits(result, results[0]));
  }
}

// out [M, N] of x [M, K], by the implementation that the weights were packed for.
Tensor Product(const PackedMatrix& packed, const Tensor& x) {
  Tensor out({x.shape()[0], packed.rows()}, DType::kF32);
  Context ctx;
  LinearArgs args;
  args.x = x;
  args.weight = &packed;
  args.out = out.mutable_view();
  Linear(ctx, args);
  return out;
}

class DigitFactors : public testing::Test {
 protected:
  void SetUp() override {
    if (!cpu::TakesDigits(1)) GTEST_SKIP() << "this CPU has no tiles for integers";
  }
};

// The error of got against want, in the mean (RMS), of what rows of x and of weights with one large
// number among small ones would make at most.
double ErrorOfLargest(const Tensor& got, const Tensor& want, double largest_x, double largest_w,
                      int64_t inputs) {
  double square = 0;
  for (int64_t i = 0; i < want.shape().numel(); ++i) {
    const double error =
        static_cast<double>(got.Data<float>()[i]) - static_cast<double>(want.Data<float>()[i]);
    square += error * error;
  }
  return std::sqrt(square / static_cast<double>(want.shape().numel() * inputs)) /
         (largest_x * largest_w);
}

double LargestOf(const Tensor& tensor) {
  double largest = 0;
  for (int64_t i = 0; i < tensor.shape().numel(); ++i) {
    largest = std::max(largest, static_cast<double>(std::abs(tensor.Data<float>()[i])));
  }
  return largest;
}

TEST_F(DigitFactors, AreFloat32OfTheirRowsLargest) {
  for (const int64_t m : {1, 5, 16, 17, 33, 300}) {
    for (const auto& [n, k] :
         {std::pair<int64_t, int64_t>{1, 1}, {33, 31}, {96, 64}, {70, 300}, {40, 129}}) {
      Tensor x = RandomTensor({m, k}, 2);
      x.MutableData<float>()[0] *= 30;  // an outlier
      const Tensor weight = RandomWeight(n, k);
      const PackedMatrix digits = PackMatrix(Device::kCpu, weight, DType::kF32);
      ASSERT_EQ(digits.encoding(), PackedMatrix::Encoding::kDigits);
      const Tensor got = Product(digits, x);
      const Tensor want =
          Product(PackMatrix(Device::kCpu, weight, DType::kF32, Factors::kWhole), x);
      EXPECT_LT(ErrorOfLargest(got, want, LargestOf(x), LargestOf(weight), k), std::ldexp(1.0, -23))
          << m << " " << n << " " << k;
      Tensor unpacked({n, k}, DType::kF32);
      digits.storage().Unpack(unpacked.MutableData<float>());
      for (int64_t row = 0; row < n; ++row) {
        const float* exact = weight.Data<float>() + row * k;
        const float largest = std::abs(*std::max_element(
            exact, exact + k, [](float a, float b) { return std::abs(a) < std::abs(b); }));
        for (int64_t i = 0; i < k; ++i) {
          EXPECT_NEAR(unpacked.Data<float>()[row * k + i], exact[i], std::ldexp(largest, -22));
        }
      }
    }
  }
}

TEST_F(DigitFactors, DoNotHideInfinityAndNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Tensor x = RandomTensor({6, 40}, 2);
  float* values = x.MutableData<float>();
  values[1 * 40 + 3] = kInfinity;
  values[2 * 40 + 39] = -kInfinity;
  values[3 * 40 + 32] = std::numeric_limits<float>::quiet_NaN();
  values[4 * 40] = 3e38f;
  std::fill_n(values + 5 * 40, 40, 1e-42f);  // counts as 0
  const Tensor weight = RandomWeight(50, 40);
  const Tensor got = Product(PackMatrix(Device::kCpu, weight, DType::kF32), x);
  const Tensor want = Product(PackMatrix(Device::kCpu, weight, DType::kF32, Factors::kWhole), x);
  for (int64_t i = 0; i < 6 * 50; ++i) {
    const float exact = want.Data<float>()[i];
    const float result = got.Data<float>()[i];
    EXPECT_EQ(std::isfinite(result), std::isfinite(exact)) << i;
    if (std::isfinite(exact)) {
      EXPECT_NEAR(result, exact, 1e-5 * std::max(1.0f, std::abs(exact))) << i;
    }
  }
  Tensor infinite = RandomWeight(50, 40);
  infinite.MutableData<float>()[7 * 40 + 1] = -kInfinity;
  const Tensor product = Product(PackMatrix(Device::kCpu, infinite, DType::kF32), x);
  EXPECT_FALSE(std::isfinite(product.Data<float>()[7]));
  EXPECT_TRUE(std::isfinite(product.Data<float>()[8]));
}

TEST_F(DigitFactors, TakeZeros) {
  Tensor x({3, 70}, DType::kF32);
  const Tensor got = Product(PackMatrix(Device::kCpu, RandomWeight(33, 70), DType::kF32), x);
  for (int64_t i = 0; i < 3 * 33; ++i) EXPECT_EQ(got.Data<float>()[i], 0);
}

TEST_F(DigitFactors, GiveWayToAForcedImplementation) {
  const Tensor weight = RandomWeight(8, 4);
  for (const std::string_view op : {"linear", "linear_glu"}) {
    ForceImplementation(op, "highway");
    EXPECT_EQ(PackMatrix(Device::kCpu, weight, DType::kF32).encoding(),
              PackedMatrix::Encoding::kFloats);
    ForceImplementation(op, cpu::kDigitsName);
    EXPECT_EQ(PackMatrix(Device::kCpu, weight, DType::kF32).encoding(),
              PackedMatrix::Encoding::kDigits);
    ForceImplementation(op, "");
  }
}

TEST_F(DigitFactors, GiveWayWhereSumsCouldOverflow) {
  const Tensor weight({1, cpu::kMostDigitInputs + 1}, DType::kF32);
  EXPECT_EQ(PackMatrix(Device::kCpu, weight, DType::kF32).encoding(),
            PackedMatrix::Encoding::kFloats);
  // The largest sums that can be: all digits of the same sign.
  Tensor ones({1, cpu::kMostDigitInputs}, DType::kF32);
  std::fill_n(ones.MutableData<float>(), cpu::kMostDigitInputs, 1.0f);
  const Tensor got = Product(PackMatrix(Device::kCpu, ones, DType::kF32), ones);
  EXPECT_NEAR(got.Data<float>()[0], cpu::kMostDigitInputs, 0.01);
}

TEST(Linear, RefusesWhatDoesNotFit) {
  const PackedMatrix packed = PackMatrix(Device::kCpu, RandomWeight(8, 4), DType::kF32);
  const Tensor x = RandomTensor({3, 4}, 2);
  Tensor out({3, 8}, DType::kF32);
  LinearArgs good;
  good.x = x;
  good.weight = &packed;
  good.out = out.mutable_view();
  Context ctx;
  EXPECT_NO_THROW(Linear(ctx, good));

  const auto refuses = [&](ErrorKind kind, const char* part, const LinearArgs& args) {
    ExpectError(kind, part, [&] { Linear(ctx, args); });
  };
  LinearArgs args = good;
  const Tensor narrow = RandomTensor({3, 5}, 2);
  args.x = narrow;
  refuses(ErrorKind::kShape, "x [3, 5] does not fit weights [8, 4]", args);
  args = good;
  args.bias = x;
  refuses(ErrorKind::kShape, "bias", args);
  args = good;
  args.residual = x;
  refuses(ErrorKind::kShape, "residual", args);
  args = good;
  args.out = out.mutable_view().Slice(0, 0, 2);
  refuses(ErrorKind::kShape, "out", args);
  args = good;
  const Tensor integers({3, 4}, DType::kI32);
  args.x = integers;
  refuses(ErrorKind::kUnsupported, "x", args);
  ExpectError(ErrorKind::kShape, "matrix",
              [&] { PackMatrix(Device::kCpu, x.view().Reshape({12}), DType::kF32); });
  ExpectError(ErrorKind::kUnsupported, "int8", [&] { PackMatrix(Device::kCpu, x, DType::kI8); });
}

TEST(Linear, NoRowsIsNoWork) {
  const PackedMatrix packed = PackMatrix(Device::kCpu, RandomWeight(8, 4), DType::kF32);
  const Tensor x({0, 4}, DType::kF32);
  Tensor out({0, 8}, DType::kF32);
  Context ctx;
  LinearArgs args;
  args.x = x;
  args.weight = &packed;
  args.out = out.mutable_view();
  EXPECT_NO_THROW(Linear(ctx, args));
}

TEST(Linear, MetaDeviceCountsOnly) {
  const PackedMatrix packed =
      PackMatrix(Device::kMeta, ConstView(nullptr, {8, 4}, DType::kF32), DType::kF32);
  Profiler profiler;
  Context ctx;
  ctx.device = Device::kMeta;
  ctx.profiler = &profiler;
  LinearArgs args;
  args.x = ConstView(nullptr, {3, 4}, DType::kF32);
  args.weight = &packed;
  args.out = View(nullptr, {3, 8}, DType::kF32);
  Linear(ctx, args);
  const Profiler::Entry& entry = profiler.entries().at("linear/meta");
  EXPECT_EQ(entry.calls, 1);
  EXPECT_EQ(entry.cost.flops, 2 * 3 * 8 * 4);
  EXPECT_EQ(entry.cost.bytes, 4 * (3 * 4 + 8 * 4 + 3 * 8));
}

}  // namespace
}  // namespace gesso
