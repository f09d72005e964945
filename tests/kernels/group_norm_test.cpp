// GroupNorm against ref and against hand-computed values, on every vector width.
#include "kernels/group_norm.h"

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

TEST(GroupNormRef, HandComputed) {
  // Two pixels of four channels: group 0 holds 0, 2, 4, 6; group 1 is constant.
  const float x[] = {0, 2, 5, 5, 4, 6, 5, 5};
  const float scale[] = {1, 2, 1, 1};
  const float shift[] = {0, 10, 0, 7};
  float out[8];
  const GroupNormArgs args = {.x = ConstView(x, {1, 2, 1, 4}, DType::kF32),
                              .groups = 2,
                              .scale = ConstView(scale, {4}, DType::kF32),
                              .shift = ConstView(shift, {4}, DType::kF32),
                              .eps = 1e-6f,
                              .activation = Activation::kRelu,
                              .out = View(out, {1, 2, 1, 4}, DType::kF32)};
  for (const auto& implementation : GroupNormTable().implementations()) {
    if (implementation.device != Device::kCpu) continue;  // the numbers lie in the host's memory
    SCOPED_TRACE(std::string(implementation.name));
    RunImplementation(GroupNormTable(), implementation.name, args);
    const double deviation = std::sqrt(5.0);
    EXPECT_FLOAT_EQ(out[0], 0);  // -3 / deviation before the activation
    EXPECT_FLOAT_EQ(out[1], static_cast<float>(10 - 2 / deviation));
    EXPECT_FLOAT_EQ(out[4], static_cast<float>(1 / deviation));
    EXPECT_FLOAT_EQ(out[5], static_cast<float>(10 + 6 / deviation));
    EXPECT_FLOAT_EQ(out[2], 0);
    EXPECT_FLOAT_EQ(out[3], 7);
  }
}

struct Case {
  Shape x;
  int64_t groups;
  DType in = DType::kF32;
  DType out = DType::kF32;
  Activation activation = Activation::kNone;
  bool affine = true;
  float mean = 0;
};

class GroupNormTest : public testing::TestWithParam<Case> {};

TEST_P(GroupNormTest, EqualsRef) {
  const Case& c = GetParam();
  Tensor values = RandomTensor(c.x, 1, DType::kF32, 2);
  for (int64_t i = 0; i < c.x.numel(); ++i) values.MutableData<float>()[i] += c.mean;
  const Tensor x = Cast(values, c.in);
  const Tensor scale = RandomTensor({c.x[3]}, 2);
  const Tensor shift = RandomTensor({c.x[3]}, 3);
  Tensor want(c.x, c.out);
  GroupNormArgs args = {.x = x,
                        .groups = c.groups,
                        .scale = c.affine ? scale.view() : ConstView(),
                        .shift = c.affine ? shift.view() : ConstView(),
                        .activation = c.activation,
                        .out = want.mutable_view()};
  RunImplementation(GroupNormTable(), "ref", args);
  const DType narrowest =
      c.in == DType::kBF16 || c.out == DType::kBF16 ? DType::kBF16 : DType::kF32;
  ForEachFast(GroupNormTable(), args, [&](std::string_view name) {
    ForEachTarget([&] {
      Tensor got(c.x, c.out);
      args.out = got.mutable_view();
      RunImplementation(GroupNormTable(), name, args);
      EXPECT_LT(RmsError(got, want), ToleranceOf(narrowest));
      if (c.in != c.out) return;
      Tensor in_place = Cast(x, c.out);
      GroupNormArgs same = args;
      same.x = in_place;
      same.out = in_place.mutable_view();
      RunImplementation(GroupNormTable(), name, same);
      EXPECT_TRUE(SameBits(in_place, got));
    });
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GroupNormTest,
    testing::Values(
        Case{{1, 1, 1, 1}, 1}, Case{{2, 3, 5, 24}, 24},
        Case{{1, 7, 9, 160}, 32, DType::kF32, DType::kF32, Activation::kSilu},
        Case{{2, 33, 17, 96}, 32, DType::kBF16, DType::kBF16, Activation::kSilu},
        Case{{1, 40, 40, 64}, 32, DType::kF32, DType::kBF16, Activation::kGeluTanh},
        Case{{1, 9, 9, 37}, 1, DType::kBF16, DType::kF32, Activation::kGeluErf},
        Case{{3, 11, 13, 20}, 4, DType::kF32, DType::kF32, Activation::kNone, false},
        // A mean far above the deviation, over many blocks of pixels.
        Case{{1, 60, 61, 48}, 6, DType::kF32, DType::kF32, Activation::kNone, true, 20},
        // Groups that a GPU keeps in registers, cuts into strips, and reads as they lie.
        Case{{2, 16, 16, 640}, 32, DType::kBF16, DType::kBF16, Activation::kSilu, true, 1},
        Case{{1, 128, 67, 160}, 32, DType::kBF16, DType::kBF16, Activation::kSilu, true, 1},
        Case{{2, 41, 40, 1024}, 32, DType::kF32, DType::kBF16, Activation::kRelu, true, -3},
        Case{{1, 5, 7, 2080}, 32, DType::kBF16, DType::kF32, Activation::kGeluErf, false}));

TEST(GroupNormThreads, DoNotChangeTheResult) {
  const Tensor x = RandomTensor({2, 50, 41, 64}, 1);
  std::vector<Tensor> results;
  const int before = NumThreads();
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    Tensor out(x.shape(), DType::kF32);
    Context ctx;
    GroupNorm(ctx, {.x = x, .scale = {}, .shift = {}, .out = out.mutable_view()});
    results.push_back(out);
  }
  SetNumThreads(before);
  EXPECT_TRUE(SameBits(results[0], results[1]));
  EXPECT_TRUE(SameBits(results[0], results[2]));
}

TEST(GroupNormErrors, NameTheArgument) {
  Context ctx;
  Tensor x({1, 2, 2, 48}, DType::kF32);
  const Tensor wrong({32}, DType::kF32);
  const auto refuses = [&](ErrorKind kind, const char* part, const GroupNormArgs& args) {
    ExpectError(kind, part, [&] { GroupNorm(ctx, args); });
  };
  GroupNormArgs good = {.x = x, .groups = 24, .scale = {}, .shift = {}, .out = x.mutable_view()};
  EXPECT_NO_THROW(GroupNorm(ctx, good));
  GroupNormArgs args = good;
  args.groups = 32;
  refuses(ErrorKind::kShape, "48 channels are not 32 equal groups", args);
  args.groups = 0;
  refuses(ErrorKind::kShape, "0 equal groups", args);
  args = good;
  args.scale = wrong;
  refuses(ErrorKind::kShape, "group_norm: scale", args);
  args = good;
  args.shift = wrong;
  refuses(ErrorKind::kShape, "group_norm: shift", args);
  Tensor other({1, 2, 3, 48}, DType::kF32);
  args = good;
  args.out = other.mutable_view();
  refuses(ErrorKind::kShape, "group_norm: out", args);
}

}  // namespace
}  // namespace gesso
