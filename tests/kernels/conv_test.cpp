// Every implementation of Conv2d against ref: strides, padding, dilation, groups, odd sizes.
#include "kernels/conv.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::ForEachFast;
using testing_support::RandomTensor;
using testing_support::RmsError;
using testing_support::RunImplementation;

struct Case {
  Shape x;
  Shape kernel;
  Conv2dShape conv;
  bool bias = false;
  bool residual = false;
  Activation activation = Activation::kNone;
  DType x_dtype = DType::kF32;
  DType weight_dtype = DType::kF32;
  DType out_dtype = DType::kF32;
};

Shape OutShape(const Case& c) {
  const auto extent = [&](int64_t in, int64_t taps) {
    return (in + 2 * c.conv.padding + c.conv.end_padding - c.conv.dilation * (taps - 1) - 1) /
               c.conv.stride +
           1;
  };
  return {c.x[0], extent(c.x[1], c.kernel[2]), extent(c.x[2], c.kernel[3]), c.kernel[0]};
}

class Conv2dTest : public testing::TestWithParam<Case> {};

// With a kernel packed for `device`.
void ExpectEqualsRef(const Case& c, Device device, Factors factors) {
  const auto taps = static_cast<float>(c.kernel[1] * c.kernel[2] * c.kernel[3]);
  const Tensor weight = RandomTensor(c.kernel, 1, DType::kF32, 1 / std::sqrt(taps));
  const PackedKernel packed = PackKernel(device, weight, c.weight_dtype, c.conv, factors);
  const Tensor x = RandomTensor(c.x, 2, c.x_dtype);
  const Tensor bias = RandomTensor({c.kernel[0]}, 3);
  const Shape out = OutShape(c);
  const Tensor residual = RandomTensor(out, 4, c.out_dtype);
  Conv2dArgs args;
  args.x = x;
  args.kernel = &packed;
  if (c.bias) args.bias = bias;
  if (c.residual) args.residual = residual;
  args.activation = c.activation;
  Tensor want(out, c.out_dtype);
  args.out = want.mutable_view();
  RunImplementation(Conv2dTable(), "ref", args);
  const bool narrow =
      c.x_dtype == DType::kBF16 || c.weight_dtype == DType::kBF16 || c.out_dtype == DType::kBF16;
  ForEachFast(Conv2dTable(), args, [&, residual = args.residual](std::string_view name) {
    args.residual = residual;
    for (int run = 0; run < 2; ++run) {  // the second finds the primitive made by the first
      Tensor got(out, c.out_dtype);
      args.out = got.mutable_view();
      RunImplementation(Conv2dTable(), name, args);
      EXPECT_LT(RmsError(got, want),
                testing_support::ToleranceOf(narrow ? DType::kBF16 : DType::kF32));
    }
    if (!c.residual) return;
    Tensor in_place = Cast(residual, c.out_dtype);
    args.out = in_place.mutable_view();
    args.residual = in_place;
    RunImplementation(Conv2dTable(), name, args);
    EXPECT_LT(RmsError(in_place, want),
              testing_support::ToleranceOf(narrow ? DType::kBF16 : DType::kF32));
  });
}

TEST_P(Conv2dTest, EqualsRef) {
  ExpectEqualsRef(GetParam(), Device::kCpu, Factors::kSplit);
  ExpectEqualsRef(GetParam(), Device::kCpu, Factors::kWhole);
  if (CurrentBackend() != nullptr) ExpectEqualsRef(GetParam(), Device::kCuda, Factors::kWhole);
}

std::vector<Case> Cases() {
  const DType bf16 = DType::kBF16;
  const DType f32 = DType::kF32;
  return {
      {.x = {1, 8, 8, 16}, .kernel = {32, 16, 3, 3}, .conv = {.padding = 1}},
      {.x = {1, 9, 8, 16}, .kernel = {32, 16, 3, 3}, .conv = {.padding = 1}},
      {.x = {2, 7, 9, 3}, .kernel = {5, 3, 3, 3}, .conv = {.padding = 1}, .bias = true},
      {.x = {1, 9, 7, 8},
       .kernel = {16, 8, 3, 3},
       .conv = {.stride = 2, .padding = 1},
       .bias = true,
       .activation = Activation::kSilu},
      {.x = {1, 11, 13, 6},
       .kernel = {7, 6, 3, 5},
       .conv = {.padding = 2, .dilation = 2},
       .activation = Activation::kRelu},
      {.x = {1, 8, 8, 24},
       .kernel = {24, 1, 3, 3},
       .conv = {.padding = 1, .groups = 24},
       .bias = true,
       .residual = true,
       .activation = Activation::kGeluErf},
      {.x = {2, 7, 9, 12},
       .kernel = {12, 1, 3, 3},
       .conv = {.stride = 2, .padding = 1, .groups = 12}},
      {.x = {2, 5, 7, 16},
       .kernel = {16, 1, 5, 3},
       .conv = {.stride = 2, .padding = 2, .dilation = 2, .groups = 16},
       .residual = true,
       .x_dtype = bf16,
       .weight_dtype = bf16,
       .out_dtype = bf16},
      {.x = {2, 6, 6, 12},
       .kernel = {8, 3, 3, 3},
       .conv = {.padding = 1, .groups = 4},
       .residual = true},
      {.x = {1, 5, 5, 33},
       .kernel = {17, 33, 1, 1},
       .conv = {},
       .bias = true,
       .residual = true,
       .activation = Activation::kGeluTanh},
      {.x = {1, 8, 8, 3}, .kernel = {48, 3, 4, 4}, .conv = {.stride = 4}},
      {.x = {2, 9, 37, 48},
       .kernel = {131, 48, 3, 3},
       .conv = {.padding = 1},
       .bias = true,
       .residual = true,
       .activation = Activation::kSilu},
      {.x = {1, 12, 9, 70}, .kernel = {33, 70, 5, 5}, .conv = {.padding = 1}, .bias = true},
      {.x = {1, 11, 700, 64}, .kernel = {7, 64, 3, 2}, .conv = {.padding = 1}, .out_dtype = bf16},
      {.x = {1, 1, 1, 4}, .kernel = {4, 4, 3, 3}, .conv = {.padding = 1}},
      {.x = {1, 8, 6, 24},
       .kernel = {24, 24, 3, 3},
       .conv = {.stride = 2, .end_padding = 1},
       .bias = true},
      {.x = {2, 5, 7, 6}, .kernel = {8, 6, 3, 3}, .conv = {.padding = 1, .end_padding = 2}},
      {.x = {1, 8, 8, 16},
       .kernel = {16, 16, 3, 3},
       .conv = {.padding = 1},
       .bias = true,
       .residual = true,
       .x_dtype = bf16,
       .weight_dtype = bf16,
       .out_dtype = bf16},
      {.x = {1, 8, 8, 16},
       .kernel = {16, 16, 3, 3},
       .conv = {.padding = 1},
       .residual = true,
       .x_dtype = bf16,
       .weight_dtype = f32,
       .out_dtype = f32},
      {.x = {1, 8, 8, 16},
       .kernel = {16, 16, 3, 3},
       .conv = {.padding = 1},
       .bias = true,
       .x_dtype = f32,
       .weight_dtype = bf16,
       .out_dtype = bf16},
  };
}
INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dTest, testing::ValuesIn(Cases()));

TEST(Conv2d, RefIsTheFormula) {
  const float x[] = {1, 2, 3, 4};                       // 2 x 2, one channel
  const float weight[] = {0, 0, 0, 0, 1, 10, 0, 0, 0};  // itself + 10 * its right neighbour
  const PackedKernel packed = PackKernel(Device::kCpu, ConstView(weight, {1, 1, 3, 3}, DType::kF32),
                                         DType::kF32, {.padding = 1});
  float out[4];
  Conv2dArgs args;
  args.x = ConstView(x, {1, 2, 2, 1}, DType::kF32);
  args.kernel = &packed;
  args.out = View(out, {1, 2, 2, 1}, DType::kF32);
  RunImplementation(Conv2dTable(), "ref", args);
  EXPECT_FLOAT_EQ(out[0], 21);
  EXPECT_FLOAT_EQ(out[1], 2);
  EXPECT_FLOAT_EQ(out[2], 43);
  EXPECT_FLOAT_EQ(out[3], 4);
}

TEST(Conv2d, OneKernelServesEverySize) {
  const Tensor weight = RandomTensor({16, 8, 3, 3}, 1);
  const PackedKernel packed = PackKernel(Device::kCpu, weight, DType::kF32, {.padding = 1});
  for (const int64_t side : {4, 64, 17, 4}) {
    const Tensor x = RandomTensor({1, side, side, 8}, 2);
    Tensor want({1, side, side, 16}, DType::kF32);
    Tensor got({1, side, side, 16}, DType::kF32);
    Conv2dArgs args;
    args.x = x;
    args.kernel = &packed;
    args.out = want.mutable_view();
    RunImplementation(Conv2dTable(), "ref", args);
    args.out = got.mutable_view();
    Context ctx;
    Conv2d(ctx, args);
    EXPECT_LT(RmsError(got, want), 1e-5) << side;
  }
}

TEST(Conv2d, SplitsNoFactorsOfFewPixels) {
  const Tensor weight = RandomTensor({32, 32, 3, 3}, 1, DType::kF32, 0.1f);
  const Tensor x = RandomTensor({2, 2, 3, 32}, 2);
  const auto convolve = [&](Factors factors) {
    const PackedKernel packed =
        PackKernel(Device::kCpu, weight, DType::kF32, {.padding = 1}, factors);
    Tensor out({2, 2, 3, 32}, DType::kF32);
    Context ctx;
    Conv2d(ctx, {.x = x, .kernel = &packed, .bias = {}, .residual = {}, .out = out.mutable_view()});
    return out;
  };
  EXPECT_EQ(RmsError(convolve(Factors::kSplit), convolve(Factors::kWhole)), 0);
}

TEST(Conv2d, DoesNotDependOnThreads) {
  const int before = NumThreads();
  const Tensor weight = RandomTensor({48, 40, 3, 3}, 1);
  const Tensor x = RandomTensor({1, 31, 33, 40}, 2);
  std::vector<Tensor> results;
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    const PackedKernel packed = PackKernel(Device::kCpu, weight, DType::kF32, {.padding = 1});
    Conv2dArgs args;
    args.x = x;
    args.kernel = &packed;
    Tensor out({1, 31, 33, 48}, DType::kF32);
    args.out = out.mutable_view();
    Context ctx;
    Conv2d(ctx, args);
    results.push_back(out);
    EXPECT_EQ(0, std::memcmp(out.view().data, results[0].view().data, out.view().bytes()));
  }
  SetNumThreads(before);
}

TEST(Conv2d, GivesWayToAForcedImplementation) {
  const Tensor weight = RandomTensor({32, 32, 3, 3}, 1);
  const Tensor x = RandomTensor({1, 8, 8, 32}, 2);
  Tensor out({1, 6, 6, 32}, DType::kF32);
  ForceImplementation("conv2d", "onednn");
  const PackedKernel packed = PackKernel(Device::kCpu, weight, DType::kF32, {});
  Conv2dArgs args;
  args.x = x;
  args.kernel = &packed;
  args.out = out.mutable_view();
  Context ctx;
  EXPECT_NO_THROW(Conv2d(ctx, args));
  ForceImplementation("conv2d", "");
}

TEST(Conv2d, RefusesWhatDoesNotFit) {
  const Tensor weight = RandomTensor({4, 2, 3, 3}, 1);
  const PackedKernel packed = PackKernel(Device::kCpu, weight, DType::kF32, {});
  const Tensor x = RandomTensor({1, 5, 5, 2}, 2);
  Tensor out({1, 3, 3, 4}, DType::kF32);
  Conv2dArgs good;
  good.x = x;
  good.kernel = &packed;
  good.out = out.mutable_view();
  Context ctx;
  EXPECT_NO_THROW(Conv2d(ctx, good));
  const auto refuses = [&](ErrorKind kind, const char* part, const Conv2dArgs& args) {
    ExpectError(kind, part, [&] { Conv2d(ctx, args); });
  };
  Conv2dArgs args = good;
  const Tensor wide = RandomTensor({1, 5, 5, 3}, 2);
  args.x = wide;
  refuses(ErrorKind::kShape, "does not fit kernel", args);
  args = good;
  Tensor large({1, 4, 3, 4}, DType::kF32);
  args.out = large.mutable_view();
  refuses(ErrorKind::kShape, "out", args);
  args = good;
  args.bias = x;
  refuses(ErrorKind::kShape, "bias", args);
  args = good;
  args.residual = x;
  refuses(ErrorKind::kShape, "residual", args);
  ExpectError(ErrorKind::kUsage, "stride 0",
              [&] { PackKernel(Device::kCpu, weight, DType::kF32, {.stride = 0}); });
  ExpectError(ErrorKind::kShape, "3 equal groups",
              [&] { PackKernel(Device::kCpu, weight, DType::kF32, {.groups = 3}); });
}

TEST(Conv2d, MetaDeviceCountsOnly) {
  const PackedKernel packed = PackKernel(
      Device::kMeta, ConstView(nullptr, {4, 2, 3, 3}, DType::kF32), DType::kF32, {.padding = 1});
  Profiler profiler;
  Context ctx;
  ctx.device = Device::kMeta;
  ctx.profiler = &profiler;
  Conv2dArgs args;
  args.x = ConstView(nullptr, {1, 5, 5, 2}, DType::kF32);
  args.kernel = &packed;
  args.out = View(nullptr, {1, 5, 5, 4}, DType::kF32);
  Conv2d(ctx, args);
  const Profiler::Entry& entry = profiler.entries().at("conv2d/meta");
  EXPECT_EQ(entry.cost.flops, 2 * 5 * 5 * 4 * 2 * 9);
  EXPECT_EQ(entry.cost.bytes, 4 * (5 * 5 * 2 + 5 * 5 * 4 + 4 * 2 * 9));
}

}  // namespace
}  // namespace gesso
