// SpaceDepth and GatherRows: known layouts, round trips, ref, ids outside the table.
#include "kernels/token.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tests/support/ops.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

TEST(SpaceDepthRef, OrderIsRowColumnChannel) {
  // A 2 x 4 picture of 2 channels whose values say where they come from: 100 y + 10 x + c.
  Tensor x({1, 2, 4, 2}, DType::kF32);
  for (int i = 0; i < 16; ++i) {
    x.MutableData<float>()[i] = static_cast<float>(100 * (i / 8) + 10 * (i / 2 % 4) + i % 2);
  }
  Tensor out({1, 1, 2, 8}, DType::kF32);
  RunImplementation(SpaceDepthTable(), "ref", SpaceDepthArgs{x, 2, 2, false, out.mutable_view()});
  const float want[16] = {0, 1, 10, 11, 100, 101, 110, 111, 20, 21, 30, 31, 120, 121, 130, 131};
  for (int i = 0; i < 16; ++i) EXPECT_EQ(out.Data<float>()[i], want[i]) << i;
}

struct Case {
  int64_t batch, height, width, channels, block_h, block_w;
  bool planes;  // the picture is [B, C, H, W], seen as [B, H, W, C]
  DType from, to;
};

class SpaceDepthTest : public testing::TestWithParam<Case> {};

TEST_P(SpaceDepthTest, EqualsRefAndInverts) {
  const Case c = GetParam();
  const Shape plane_shape{c.batch, c.channels, c.height, c.width};
  const Shape last_shape{c.batch, c.height, c.width, c.channels};
  const Shape deep_shape{c.batch, c.height / c.block_h, c.width / c.block_w,
                         c.block_h * c.block_w * c.channels};
  const auto seen = [&](auto view) { return c.planes ? view.Permute({0, 2, 3, 1}) : view; };
  const Shape memory_shape = c.planes ? plane_shape : last_shape;
  const Tensor picture = RandomTensor(memory_shape, 1, c.from);
  const auto run = [&](std::string_view name) {
    Tensor tokens(deep_shape, c.to);
    RunImplementation(
        SpaceDepthTable(), name,
        SpaceDepthArgs{seen(picture.view()), c.block_h, c.block_w, false, tokens.mutable_view()});
    return tokens;
  };
  const Tensor want = run("ref");
  ForEachFast(SpaceDepthTable(), SpaceDepthArgs{}, [&](std::string_view name) {
    const Tensor tokens = run(name);
    EXPECT_TRUE(SameBits(tokens, want));
    Tensor back(memory_shape, c.from);
    RunImplementation(
        SpaceDepthTable(), name,
        SpaceDepthArgs{tokens, c.block_h, c.block_w, true, seen(back.mutable_view())});
    EXPECT_LE(RmsError(back, picture), c.to == c.from ? 0 : ToleranceOf(DType::kBF16));
  });
}

INSTANTIATE_TEST_SUITE_P(Layouts, SpaceDepthTest,
                         testing::Values(Case{2, 8, 12, 3, 4, 4, true, DType::kF32, DType::kF32},
                                         Case{1, 6, 9, 5, 2, 3, false, DType::kF32, DType::kF32},
                                         Case{2, 64, 64, 32, 2, 2, false, DType::kF32, DType::kF32},
                                         Case{1, 4, 6, 16, 2, 3, false, DType::kBF16, DType::kF32},
                                         Case{1, 4, 4, 3, 1, 1, true, DType::kF32, DType::kF32},
                                         Case{2, 8, 8, 3, 2, 4, true, DType::kF32, DType::kBF16},
                                         Case{2, 8, 8, 6, 2, 2, false, DType::kBF16,
                                              DType::kBF16}));

TEST(SpaceDepth, WritesStridedTokens) {
  const Tensor picture = RandomTensor({1, 4, 4, 2}, 1);
  Tensor want({1, 2, 2, 8}, DType::kF32);
  RunImplementation(SpaceDepthTable(), "ref",
                    SpaceDepthArgs{picture, 2, 2, false, want.mutable_view()});
  Tensor wide({1, 2, 2, 11}, DType::kF32);
  Context ctx;
  SpaceDepth(ctx, SpaceDepthArgs{picture, 2, 2, false, wide.mutable_view().Slice(3, 2, 10)});
  EXPECT_TRUE(SameBits(Cast(wide.view().Slice(3, 2, 10), DType::kF32), want));
  for (int token = 0; token < 4; ++token) EXPECT_EQ(wide.Data<float>()[token * 11 + 10], 0);
}

TEST(SpaceDepthErrors, NameTheArgument) {
  Context ctx;
  Tensor x({1, 5, 4, 2}, DType::kF32);
  Tensor out({1, 2, 2, 8}, DType::kF32);
  ExpectError(ErrorKind::kShape, "space_depth: x [1, 5, 4, 2] does not divide", [&] {
    SpaceDepth(ctx, SpaceDepthArgs{x, 2, 2, false, out.mutable_view()});
  });
  Tensor even({1, 4, 4, 3}, DType::kF32);
  ExpectError(ErrorKind::kShape, "space_depth: out must be [1, 2, 2, 12]", [&] {
    SpaceDepth(ctx, SpaceDepthArgs{even, 2, 2, false, out.mutable_view()});
  });
}

TEST(GatherRows, CopiesAndChecks) {
  Tensor ids({2, 2}, DType::kI32);
  const int32_t values[4] = {4, 0, 0, 3};
  for (const int64_t width : {37, 40}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const Tensor table = RandomTensor({5, width}, 1, dtype);
      std::copy_n(values, 4, ids.MutableData<int32_t>());
      Tensor out({2, 2, width}, DType::kF32);
      const GatherRowsArgs args{table, ids, out.mutable_view()};
      const Tensor wide = Cast(table, DType::kF32);
      const auto run = [&](std::string_view name) {
        RunImplementation(GatherRowsTable(), name, args);
        for (int64_t i = 0; i < 4 * width; ++i) {
          const int64_t from = values[i / width] * width + i % width;
          EXPECT_EQ(out.Data<float>()[i], wide.Data<float>()[from]) << name;
        }
      };
      run("ref");
      ForEachFast(GatherRowsTable(), args, run);
      for (const int32_t bad : {-1, 5}) {
        ids.MutableData<int32_t>()[2] = bad;
        Context ctx;
        const auto gather = [&] { GatherRows(ctx, args); };
        ctx.device = Device::kCpu;
        ExpectError(ErrorKind::kShape, "at position 2 is outside the table of 5 rows", gather);
        ctx.device = Device::kCuda;  // the CPU does it in the device's place
        ForceImplementation("gather_rows", "runs");
        ExpectError(ErrorKind::kShape, "at position 2 is outside the table of 5 rows", gather);
        ForceImplementation("gather_rows", "");
      }
    }
  }
}

// Every implementation, with rows of a width of their own.
void ExpectSelects(const Tensor& ids, int64_t width) {
  const Tensor x = RandomTensor({2, 5, width}, 1);
  const auto value = [&](const Tensor& tensor, int64_t token, int64_t c) {
    return tensor.Data<float>()[token * width + c];
  };
  const auto run = [&](std::string_view name) {
    Tensor part({2, 3, width}, DType::kF32);
    RunImplementation(SelectTokensTable(), name,
                      SelectTokensArgs{x, ids, false, part.mutable_view()});
    for (int i = 0; i < 6; ++i) {
      const int token = i / 3 * 5 + ids.Data<int32_t>()[i];
      EXPECT_EQ(value(part, i, width - 1), value(x, token, width - 1)) << name << i;
    }
    Tensor back({2, 5, width}, DType::kF32);
    RunImplementation(SelectTokensTable(), name,
                      SelectTokensArgs{part, ids, true, back.mutable_view()});
    EXPECT_EQ(value(back, 1, 0), 0) << "a token that was not put back stays";
    EXPECT_EQ(value(back, 8, 7), value(x, 8, 7)) << name;
  };
  run("ref");
  ForEachFast(SelectTokensTable(), SelectTokensArgs{.x = x, .ids = ids, .out = {}}, run);
}

TEST(SelectTokens, TakesOutAndPutsBack) {
  Tensor ids({2, 3}, DType::kI32);
  std::ranges::copy(std::array<int32_t, 6>{0, 2, 4, 1, 2, 3}, ids.MutableData<int32_t>());
  for (const int64_t width : {37, 40}) ExpectSelects(ids, width);
  const Tensor x = RandomTensor({2, 5, 37}, 1);
  ids.MutableData<int32_t>()[5] = 5;
  Tensor part({2, 3, 37}, DType::kF32);
  Context ctx;
  const auto select = [&] { SelectTokens(ctx, {.x = x, .ids = ids, .out = part.mutable_view()}); };
  ExpectError(ErrorKind::kShape, "select_tokens: id 5 at position 5", select);
  ctx.device = Device::kCuda;  // the CPU does it in the device's place
  ForceImplementation("select_tokens", "runs");
  ExpectError(ErrorKind::kShape, "select_tokens: id 5 at position 5", select);
  ForceImplementation("select_tokens", "");
}

}  // namespace
}  // namespace gesso
