// Every implementation of Linear and LinearGlu against ref, on shapes that fit no block size.
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "kernels/core/parallel.h"

namespace gesso {
namespace {

Tensor Random(const Shape& shape, uint32_t seed, float scale = 1, DType dtype = DType::kF32) {
  Tensor t(shape, DType::kF32);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  float* values = t.MutableData<float>();
  for (int64_t i = 0; i < shape.numel(); ++i) values[i] = normal(generator);
  return dtype == DType::kF32 ? std::move(t) : Cast(t, dtype);
}

// Largest difference over the root mean square of what is wanted.
double RelativeError(ConstView got, ConstView want) {
  const Tensor a = Cast(got, DType::kF32);
  const Tensor b = Cast(want, DType::kF32);
  double worst = 0;
  double square = 0;
  for (int64_t i = 0; i < b.shape().numel(); ++i) {
    const double difference = std::abs(double{a.Data<float>()[i]} - double{b.Data<float>()[i]});
    if (!(difference <= worst)) worst = difference;  // a NaN counts as the worst
    square += double{b.Data<float>()[i]} * double{b.Data<float>()[i]};
  }
  return worst / std::sqrt(square / static_cast<double>(b.shape().numel()));
}

template <class Args>
void RunNamed(const OpTable<Args>& table, std::string_view name, const Args& args) {
  Arena arena(Device::kCpu, 4096);
  Context ctx;
  ctx.arena = &arena;
  for (const auto& implementation : table.implementations()) {
    if (implementation.name == name) return implementation.run(ctx, args);
  }
  FAIL() << "no implementation " << name;
}

template <class Args>
std::vector<std::string_view> FastNames(const OpTable<Args>& table, const Args& args) {
  std::vector<std::string_view> names;
  for (const auto& implementation : table.implementations()) {
    if (implementation.name != "ref" && implementation.device == Device::kCpu &&
        !implementation.why_not(args)) {
      names.push_back(implementation.name);
    }
  }
  return names;
}

struct Case {
  int64_t m, n, k;
  DType x, weight, out;
  bool bias, residual;
  Activation activation;
};

double Tolerance(const Case& c) {
  const bool exact = c.x == DType::kF32 && c.weight == DType::kF32 && c.out == DType::kF32;
  return exact ? 3e-5 : 3e-2;  // largest single error; bf16 keeps 8 bits
}

class LinearTest : public testing::TestWithParam<Case> {};

TEST_P(LinearTest, EqualsRef) {
  const Case c = GetParam();
  const Tensor weight = Random({c.n, c.k}, 1, 1 / std::sqrt(static_cast<float>(c.k)));
  const PackedMatrix packed = PackMatrix(Device::kCpu, weight, c.weight);
  const Tensor x = Random({c.m, c.k}, 2, 1, c.x);
  const Tensor bias = Random({c.n}, 3);
  const Tensor residual = Random({c.m, c.n}, 4, 1, c.out);
  LinearArgs args;
  args.x = x;
  args.weight = &packed;
  if (c.bias) args.bias = bias;
  if (c.residual) args.residual = residual;
  args.activation = c.activation;
  Tensor want({c.m, c.n}, c.out);
  args.out = want.mutable_view();
  RunNamed(LinearTable(), "ref", args);
  for (const std::string_view name : FastNames(LinearTable(), args)) {
    Tensor got({c.m, c.n}, c.out);
    args.out = got.mutable_view();
    RunNamed(LinearTable(), name, args);
    EXPECT_LT(RelativeError(got, want), Tolerance(c)) << name;
    if (c.residual) {  // the residual may lie where the result goes
      Tensor in_place = Cast(residual, c.out);
      args.out = in_place.mutable_view();
      args.residual = in_place;
      RunNamed(LinearTable(), name, args);
      EXPECT_LT(RelativeError(in_place, got), 1e-30) << name;
      args.residual = residual;
    }
  }
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
  const Tensor weight = Random({40, 24}, 1);
  const PackedMatrix packed = PackMatrix(Device::kCpu, weight, DType::kF32);
  const Tensor wide = Random({33, 72}, 2);
  const ConstView columns = wide.view().Slice(1, 24, 48);
  LinearArgs args;
  args.x = columns;
  args.weight = &packed;
  Tensor want({33, 40}, DType::kF32);
  args.out = want.mutable_view();
  RunNamed(LinearTable(), "ref", args);
  for (const std::string_view name : FastNames(LinearTable(), args)) {
    Tensor got({33, 40}, DType::kF32);
    args.out = got.mutable_view();
    RunNamed(LinearTable(), name, args);
    EXPECT_LT(RelativeError(got, want), 1e-5) << name;
  }
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
  RunNamed(LinearTable(), "ref", args);
  EXPECT_FLOAT_EQ(out[0], 13);  // relu(2 + 2 - 1) + 10
  EXPECT_FLOAT_EQ(out[1], 20);  // relu(-6 + 0.5 + 1) + 20
}

class LinearGluTest : public testing::TestWithParam<Case> {};

TEST_P(LinearGluTest, EqualsRef) {
  const Case c = GetParam();
  const Tensor weight = Random({2 * c.n, c.k}, 1, 1 / std::sqrt(static_cast<float>(c.k)));
  const PackedMatrix packed = PackMatrix(Device::kCpu, weight, c.weight);
  const Tensor x = Random({c.m, c.k}, 2, 1, c.x);
  LinearGluArgs args;
  args.x = x;
  args.weight = &packed;
  args.activation = c.activation;
  Tensor want({c.m, c.n}, c.out);
  args.out = want.mutable_view();
  RunNamed(LinearGluTable(), "ref", args);
  for (const std::string_view name : FastNames(LinearGluTable(), args)) {
    Tensor got({c.m, c.n}, c.out);
    args.out = got.mutable_view();
    RunNamed(LinearGluTable(), name, args);
    EXPECT_LT(RelativeError(got, want), Tolerance(c)) << name;
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, LinearGluTest, testing::ValuesIn(Cases()));

TEST(Linear, DoesNotDependOnThreads) {
  const int before = NumThreads();
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Tensor weight = Random({288, 96}, 1, 0.1f);
    const PackedMatrix packed = PackMatrix(Device::kCpu, weight, dtype);
    const Tensor x = Random({301, 96}, 2);
    Tensor first({301, 288}, DType::kF32);
    Tensor first_glu({301, 144}, DType::kF32);
    for (const int threads : {1, 2, 3}) {
      SetNumThreads(threads);
      Tensor out({301, 288}, DType::kF32);
      Tensor out_glu({301, 144}, DType::kF32);
      Context ctx;
      Linear(ctx, {.x = x,
                   .weight = &packed,
                   .bias = {},
                   .activation = Activation::kGeluErf,
                   .residual = {},
                   .out = out.mutable_view()});
      LinearGlu(ctx, {.x = x, .weight = &packed, .out = out_glu.mutable_view()});
      if (threads == 1) {
        first = out;
        first_glu = out_glu;
        continue;
      }
      EXPECT_EQ(0, std::memcmp(out.view().data, first.view().data, out.view().bytes()));
      EXPECT_EQ(0, std::memcmp(out_glu.view().data, first_glu.view().data, out_glu.view().bytes()));
    }
  }
  SetNumThreads(before);
}

ErrorKind KindOf(const LinearArgs& args) {
  Context ctx;
  try {
    Linear(ctx, args);
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::kInternal;
}

TEST(Linear, RefusesWhatDoesNotFit) {
  const Tensor weight = Random({8, 4}, 1);
  const PackedMatrix packed = PackMatrix(Device::kCpu, weight, DType::kF32);
  const Tensor x = Random({3, 4}, 2);
  Tensor out({3, 8}, DType::kF32);
  LinearArgs good;
  good.x = x;
  good.weight = &packed;
  good.out = out.mutable_view();
  Context ctx;
  EXPECT_NO_THROW(Linear(ctx, good));

  LinearArgs args = good;
  const Tensor narrow = Random({3, 5}, 2);
  args.x = narrow;
  EXPECT_EQ(KindOf(args), ErrorKind::kShape);
  args = good;
  args.bias = x;
  EXPECT_EQ(KindOf(args), ErrorKind::kShape);
  args = good;
  args.residual = x;
  EXPECT_EQ(KindOf(args), ErrorKind::kShape);
  args = good;
  args.out = out.mutable_view().Slice(0, 0, 2);
  EXPECT_EQ(KindOf(args), ErrorKind::kShape);
  args = good;
  const Tensor integers({3, 4}, DType::kI32);
  args.x = integers;
  EXPECT_EQ(KindOf(args), ErrorKind::kUnsupported);
  EXPECT_THROW(PackMatrix(Device::kCpu, x.view().Reshape({12}), DType::kF32), Error);
  EXPECT_THROW(PackMatrix(Device::kCpu, x, DType::kI8), Error);
}

TEST(Linear, NoRowsIsNoWork) {
  const Tensor weight = Random({8, 4}, 1);
  const PackedMatrix packed = PackMatrix(Device::kCpu, weight, DType::kF32);
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
