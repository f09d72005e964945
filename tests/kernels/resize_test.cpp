// Every way to resize: ref against hand-computed values, fast against ref on every vector width.
#include "kernels/resize.h"

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// A line of one-channel pixels at another width, by ref.
std::vector<float> Line(const std::vector<float>& x, Resampling resampling, int64_t width) {
  std::vector<float> out(static_cast<size_t>(width));
  RunImplementation(
      ResizeTable(), "ref",
      ResizeArgs{ConstView(x.data(), {1, 1, static_cast<int64_t>(x.size()), 1}, DType::kF32),
                 resampling, View(out.data(), {1, 1, width, 1}, DType::kF32)});
  return out;
}

void ExpectLine(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_FLOAT_EQ(got[i], want[i]) << i;
}

TEST(ResizeRef, Nearest) {
  ExpectLine(Line({1, 2, 3}, Resampling::kNearest, 6), {1, 1, 2, 2, 3, 3});
  ExpectLine(Line({1, 2, 3, 4, 5}, Resampling::kNearest, 3), {1, 2, 4});
}

TEST(ResizeRef, AreaInBothDirections) {
  ExpectLine(Line({1, 3, 5, 7}, Resampling::kArea, 2), {2, 6});
  // Windows [0, 2), [1, 4), [3, 5).
  ExpectLine(Line({1, 2, 3, 4, 6}, Resampling::kArea, 3), {1.5, 3, 5});
  // Windows [0, 1), [0, 2), [1, 2): enlarging mixes where a window straddles.
  ExpectLine(Line({1, 5}, Resampling::kArea, 3), {1, 3, 5});
}

TEST(ResizeRef, Bilinear) {
  ExpectLine(Line({0, 4}, Resampling::kBilinear, 4), {0, 1, 3, 4});
  // No antialias: positions 0.5 and 2.5 read two elements each.
  ExpectLine(Line({0, 2, 100, 8}, Resampling::kBilinear, 2), {1, 54});
}

TEST(ResizeRef, Bicubic) {
  // At t = 0.25 from the left: Keys' weights for a = -0.75, border indices clamped.
  const double a = -0.10546875, b = 0.87890625, c = 0.26171875, d = -0.03515625;
  const auto mix = [&](double p, double q, double r, double s) {
    return static_cast<float>(a * p + b * q + c * r + d * s);
  };
  ExpectLine(Line({1, 2, 4}, Resampling::kBicubic, 6),
             {mix(2, 1, 1, 1), mix(1, 1, 2, 4), mix(4, 2, 1, 1), mix(1, 2, 4, 4), mix(4, 4, 2, 1),
              mix(2, 4, 4, 4)});
}

struct Case {
  Shape x;
  int64_t height, width;
  DType in = DType::kF32;
  DType out = DType::kF32;
};

class ResizeTest : public testing::TestWithParam<Case> {};

TEST_P(ResizeTest, EqualsRef) {
  const Case& c = GetParam();
  const Tensor x = RandomTensor(c.x, 1, c.in);
  const Shape shape = {c.x[0], c.height, c.width, c.x[3]};
  const DType narrowest = c.out == DType::kBF16 ? DType::kBF16 : DType::kF32;
  for (const Resampling resampling :
       {Resampling::kNearest, Resampling::kArea, Resampling::kBilinear, Resampling::kBicubic}) {
    SCOPED_TRACE(static_cast<int>(resampling));
    Tensor want(shape, c.out);
    ResizeArgs args{x, resampling, want.mutable_view()};
    RunImplementation(ResizeTable(), "ref", args);
    ForEachFast(ResizeTable(), args, [&](std::string_view name) {
      ForEachTarget([&] {
        Tensor got(shape, c.out);
        args.out = got.mutable_view();
        RunImplementation(ResizeTable(), name, args);
        EXPECT_LT(RmsError(got, want), ToleranceOf(narrowest));
      });
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ResizeTest,
                         testing::Values(Case{{1, 1, 1, 1}, 1, 1}, Case{{2, 3, 5, 7}, 6, 10},
                                         Case{{1, 16, 16, 32}, 13, 13}, Case{{2, 16, 9, 33}, 1, 2},
                                         Case{{1, 13, 10, 12}, 16, 16},
                                         Case{{1, 4, 6, 100}, 9, 7, DType::kBF16, DType::kBF16},
                                         Case{{1, 5, 4, 16}, 5, 4, DType::kBF16, DType::kF32},
                                         Case{{1, 3, 2, 20}, 6, 4, DType::kF32, DType::kBF16}));

TEST(Resize, TheSameSizeChangesNothing) {
  const Tensor x = RandomTensor({2, 5, 7, 19}, 1);
  for (const Resampling resampling :
       {Resampling::kNearest, Resampling::kArea, Resampling::kBilinear, Resampling::kBicubic}) {
    Tensor out(x.shape(), DType::kF32);
    Context ctx;
    Resize(ctx, {.x = x, .resampling = resampling, .out = out.mutable_view()});
    EXPECT_TRUE(SameBits(x, out)) << static_cast<int>(resampling);
  }
}

TEST(Resize, ThreadsDoNotChangeTheResult) {
  const Tensor x = RandomTensor({2, 31, 17, 24}, 1);
  std::vector<Tensor> results;
  const int before = NumThreads();
  for (const int threads : {1, 3}) {
    SetNumThreads(threads);
    Tensor out({2, 40, 50, 24}, DType::kF32);
    Context ctx;
    Resize(ctx, {.x = x, .resampling = Resampling::kBicubic, .out = out.mutable_view()});
    results.push_back(out);
  }
  SetNumThreads(before);
  EXPECT_TRUE(SameBits(results[0], results[1]));
}

TEST(ResizeErrors, NameTheArgument) {
  Context ctx;
  const Tensor x({1, 2, 2, 8}, DType::kF32);
  Tensor narrow({1, 4, 4, 4}, DType::kF32);
  ExpectError(ErrorKind::kShape, "resize: out [1, 4, 4, 4] must have the pictures and channels",
              [&] { Resize(ctx, {.x = x, .out = narrow.mutable_view()}); });
  const Tensor none({1, 0, 2, 4}, DType::kF32);
  ExpectError(ErrorKind::kShape, "has no pixels",
              [&] { Resize(ctx, {.x = none, .out = narrow.mutable_view()}); });
  Tensor flat({1, 4}, DType::kF32);
  ExpectError(ErrorKind::kShape, "resize: out",
              [&] { Resize(ctx, {.x = x, .out = flat.mutable_view()}); });
}

}  // namespace
}  // namespace gesso
