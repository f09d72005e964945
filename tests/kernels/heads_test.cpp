// PrepareHeads against ref for one to three parts and every combination of norm, factor and
// rotation, on odd sizes.
#include "kernels/heads.h"

#include <array>
#include <cmath>

#include "tests/support/heads.h"
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
  const HeadsCase heads({c.batch, c.tokens, c.heads, c.depth}, c.in, c.out);
  std::vector<std::string_view> names;
  heads.Results(3, 0, [&](const PrepareHeadsArgs& args) {
    ForEachFast(PrepareHeadsTable(), args, [&](std::string_view name) { names.push_back(name); });
  });
  for (const std::string_view name : names) {
    SCOPED_TRACE(std::string(name));
    ForEachTarget([&] {
      heads.ExpectLikeRef([&](const PrepareHeadsArgs& args) {
        RunImplementation(PrepareHeadsTable(), name, args);
      });
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
  const HeadPart part{.x = x, .rotate = true, .out = x.mutable_view()};
  PrepareHeads(ctx, {.parts = {&part, 1}, .cos = cos, .sin = sin});
  const std::array<float, 4> want = {-2, 1, 3, 4};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(x.Data<float>()[i], want[i]) << i;
}

TEST(PrepareHeads, NormalisesZeroToZero) {
  Tensor x({1, 2, 1, 4}, DType::kF32);
  Context ctx;
  const HeadPart part{.x = x, .normalize = true, .out = x.mutable_view()};
  PrepareHeads(ctx, {.parts = {&part, 1}});
  for (int i = 0; i < 8; ++i) EXPECT_EQ(x.Data<float>()[i], 0);
}

TEST(PrepareHeads, CountsAllParts) {
  const Tensor x({2, 3, 4, 8}, DType::kBF16);
  Tensor out({2, 3, 4, 8}, DType::kF32);
  const HeadPart copied{.x = x, .out = out.mutable_view()};
  const HeadPart turned{.x = x, .normalize = true, .rotate = true, .out = out.mutable_view()};
  const std::array<HeadPart, 3> parts = {turned, turned, copied};
  constexpr double kNumbers = 2 * 3 * 4 * 8;
  const OpCost cost = PrepareHeadsTable().CostOf({.parts = parts});
  EXPECT_EQ(cost.bytes, 3 * kNumbers * (2 + 4));
  EXPECT_EQ(cost.flops, (6 + 6 + 1) * kNumbers);
}

TEST(PrepareHeads, ComputesNothingOnTheMetaDevice) {
  const Tensor x({1, 2, 1, 4}, DType::kF32);
  const Tensor angles({1, 2}, DType::kF32);
  Tensor positions({1, 2}, DType::kI32);
  positions.MutableData<int32_t>()[1] = 7;  // not looked at
  Tensor out = RandomTensor({1, 2, 1, 4}, 1);
  const HeadPart part{.x = x, .rotate = true, .out = out.mutable_view()};
  Context ctx;
  ctx.device = Device::kMeta;
  PrepareHeads(ctx, {.parts = {&part, 1}, .cos = angles, .sin = angles, .positions = positions});
  EXPECT_TRUE(SameBits(out, RandomTensor({1, 2, 1, 4}, 1)));
}

TEST(PrepareHeads, RefusesWhatDoesNotFit) {
  Context ctx;
  const auto expect = [&](ErrorKind kind, const std::string& message, const auto& args) {
    ExpectError(kind, message, [&] { PrepareHeads(ctx, args); });
  };
  const Tensor x({1, 2, 1, 4}, DType::kF32);
  Tensor out({1, 2, 1, 4}, DType::kF32);
  const HeadPart good{.x = x, .out = out.mutable_view()};
  const std::array<HeadPart, 4> four = {good, good, good, good};
  expect(ErrorKind::kShape, "0 parts; there must be 1 to 3", PrepareHeadsArgs{.parts = {}});
  expect(ErrorKind::kShape, "4 parts; there must be 1 to 3", PrepareHeadsArgs{.parts = four});

  const Tensor longer({1, 3, 1, 4}, DType::kF32);
  const Tensor ids({1, 2, 1, 4}, DType::kI32);
  std::array<HeadPart, 3> parts = {good, good, good};
  const PrepareHeadsArgs args{.parts = parts};
  parts[1].x = longer;
  expect(ErrorKind::kShape, "parts[1].x must be [1, 2, 1, 4], got [1, 3, 1, 4]", args);
  parts[1].x = ids;
  expect(ErrorKind::kUnsupported, "parts[1].x must be float32 or bfloat16", args);
  parts[1].x = x.view().Permute({0, 3, 2, 1});
  parts[1].x.shape = x.shape();
  expect(ErrorKind::kShape, "the last dimension of parts[1].x must be contiguous", args);
  parts[1] = good;
  parts[1].scale = longer;
  expect(ErrorKind::kShape, "parts[1].scale must be [1]", args);
  parts[1] = good;
  parts[2].out = out.mutable_view().Slice(1, 0, 1);
  expect(ErrorKind::kShape, "parts[2].out must be [1, 2, 1, 4], got [1, 1, 1, 4]", args);
  parts[2] = good;
  parts[2].rotate = true;
  expect(ErrorKind::kShape, "part 2 rotates, but there are no angles", args);
}

TEST(PrepareHeads, ChecksPositions) {
  Tensor x({1, 2, 1, 4}, DType::kF32);
  const Tensor angles({3, 2}, DType::kF32);
  Tensor positions({1, 2}, DType::kI32);
  const HeadPart part{.x = x, .rotate = true, .out = x.mutable_view()};
  Context ctx;
  for (const int32_t outside : {3, -1}) {
    positions.MutableData<int32_t>()[1] = outside;
    ExpectError(ErrorKind::kShape, fmt::format("position {} is outside the 3 rows", outside), [&] {
      PrepareHeads(ctx,
                   {.parts = {&part, 1}, .cos = angles, .sin = angles, .positions = positions});
    });
  }
}

}  // namespace
}  // namespace gesso
