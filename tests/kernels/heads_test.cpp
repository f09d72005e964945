// PrepareHeads against ref for every combination of norm, factor and rotation, on odd sizes.
#include "kernels/heads.h"

#include <array>
#include <cmath>

#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

struct Case {
  int64_t batch, tokens, heads, depth;
  DType in, out;
};

class PrepareHeadsTest : public testing::TestWithParam<Case> {};

TEST_P(PrepareHeadsTest, EqualsRef) {
  const Case c = GetParam();
  // The middle one of three parts, as keys lie in a projection; kept head by head.
  const Tensor wide = RandomTensor({c.batch, c.tokens, 3, c.heads, c.depth}, 1, c.in);
  ConstView x = wide.view().Slice(2, 1, 2);
  x.shape = {c.batch, c.tokens, c.heads, c.depth};
  x.strides[2] = c.depth;
  x.strides[3] = 1;
  const Tensor scale = RandomTensor({c.heads}, 2);
  const Tensor cos = RandomTensor({2 * c.tokens, c.depth / 2}, 3);
  const Tensor sin = RandomTensor({2 * c.tokens, c.depth / 2}, 4);
  Tensor positions({c.batch, c.tokens}, DType::kI32);
  for (int64_t i = 0; i < c.batch * c.tokens; ++i) {
    positions.MutableData<int32_t>()[i] = static_cast<int32_t>(i * 7 % (2 * c.tokens));
  }
  for (int options = 0; options < 12; ++options) {
    PrepareHeadsArgs args;
    args.x = x;
    args.normalize = options % 2 == 1;
    if (options / 2 % 2 == 1) args.scale = scale;
    if (options >= 4 && c.depth % 2 == 0) {
      args.cos = cos;
      args.sin = sin;
      if (options >= 8) args.positions = positions;
    }
    const auto run = [&](std::string_view name) {
      Tensor kept({c.batch, c.heads, c.tokens, c.depth}, c.out);
      args.out = kept.mutable_view().Permute({0, 2, 1, 3});
      RunImplementation(PrepareHeadsTable(), name, args);
      return kept;
    };
    const Tensor want = run("ref");
    ForEachFast(PrepareHeadsTable(), args, [&](std::string_view name) {
      ForEachTarget([&] { EXPECT_LT(RmsError(run(name), want), ToleranceOf(c.out)) << options; });
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, PrepareHeadsTest,
                         testing::Values(Case{2, 5, 3, 8, DType::kF32, DType::kF32},
                                         Case{1, 3, 2, 12, DType::kF32, DType::kF32},
                                         Case{2, 7, 2, 64, DType::kF32, DType::kBF16},
                                         Case{2, 7, 2, 38, DType::kBF16, DType::kBF16},
                                         Case{1, 2, 3, 5, DType::kF32, DType::kF32},
                                         Case{1, 5, 2, 128, DType::kBF16, DType::kBF16},
                                         Case{2, 3, 1, 256, DType::kBF16, DType::kF32},
                                         Case{1, 3, 2, 260, DType::kF32, DType::kF32}));

TEST(PrepareHeads, TurnsNeighbouringChannels) {
  Tensor x({1, 1, 1, 4}, DType::kF32);
  for (int i = 0; i < 4; ++i) x.MutableData<float>()[i] = static_cast<float>(i + 1);
  Tensor cos({1, 2}, DType::kF32);
  Tensor sin({1, 2}, DType::kF32);
  cos.MutableData<float>()[1] = 1;  // the first pair by 90 degrees, the second not at all
  sin.MutableData<float>()[0] = 1;
  Context ctx;
  PrepareHeads(
      ctx, {.x = x, .scale = {}, .cos = cos, .sin = sin, .positions = {}, .out = x.mutable_view()});
  const std::array<float, 4> want = {-2, 1, 3, 4};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(x.Data<float>()[i], want[i]) << i;
}

TEST(PrepareHeads, NormalisesZeroToZeroAndChecksPositions) {
  Tensor x({1, 2, 1, 4}, DType::kF32);
  Context ctx;
  PrepareHeads(ctx, {.x = x,
                     .normalize = true,
                     .scale = {},
                     .cos = {},
                     .sin = {},
                     .positions = {},
                     .out = x.mutable_view()});
  for (int i = 0; i < 8; ++i) EXPECT_EQ(x.Data<float>()[i], 0);
  const Tensor angles({3, 2}, DType::kF32);
  Tensor positions({1, 2}, DType::kI32);
  positions.MutableData<int32_t>()[1] = 3;
  ExpectError(ErrorKind::kShape, "position 3 is outside the 3 rows", [&] {
    PrepareHeads(ctx, {.x = x,
                       .scale = {},
                       .cos = angles,
                       .sin = angles,
                       .positions = positions,
                       .out = x.mutable_view()});
  });
}

}  // namespace
}  // namespace gesso
