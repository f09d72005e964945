// Rope against ref and against a quarter turn, on slices of a q-k-v buffer.
#include "kernels/rope.h"

#include <cstring>

#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

TEST(RopeRef, QuarterTurnAndScale) {
  Tensor x({1, 1, 1, 5}, DType::kF32);
  const float values[5] = {3, 0, 0, 4, 12};  // norm 13
  std::memcpy(x.MutableData<float>(), values, sizeof(values));
  Tensor cosine({1, 1, 2}, DType::kF32);
  Tensor sine({1, 1, 2}, DType::kF32);
  sine.MutableData<float>()[0] = 1;    // channels 0 and 2 turn by 90 degrees
  cosine.MutableData<float>()[1] = 1;  // channels 1 and 3 stay
  Tensor scale({1}, DType::kF32);
  scale.MutableData<float>()[0] = 4;
  RopeArgs args{x.mutable_view(), scale, 0, cosine, sine};
  RunImplementation(RopeTable(), "ref", args);
  const float want[5] = {0, 0, 6.0f / 13, 8.0f / 13, 24.0f / 13};
  for (int i = 0; i < 5; ++i) EXPECT_FLOAT_EQ(x.Data<float>()[i], want[i]) << i;
}

struct Case {
  int64_t batch, tokens, heads, width, half;
  DType dtype;
  bool scaled;
};

class RopeTest : public testing::TestWithParam<Case> {};

// The queries are rotated in place inside [B, T, 3, H, D]; everything else must stay.
TEST_P(RopeTest, EqualsRefInsideABuffer) {
  const Case c = GetParam();
  const Shape buffer_shape{c.batch, c.tokens, 3 * c.heads, c.width};
  const Tensor start = RandomTensor(buffer_shape, 1, c.dtype, 2);
  Tensor angles = RandomTensor({c.tokens, c.heads, std::max<int64_t>(c.half, 1)}, 2);
  Tensor cosine(angles.shape(), DType::kF32);
  Tensor sine(angles.shape(), DType::kF32);
  for (int64_t i = 0; i < angles.shape().numel(); ++i) {
    cosine.MutableData<float>()[i] = std::cos(angles.Data<float>()[i]);
    sine.MutableData<float>()[i] = std::sin(angles.Data<float>()[i]);
  }
  Tensor scale({c.heads}, DType::kF32);
  for (int64_t h = 0; h < c.heads; ++h)
    scale.MutableData<float>()[h] = 10.0f + static_cast<float>(h);
  const auto run = [&](std::string_view name) {
    Tensor buffer = Cast(start, c.dtype);
    RopeArgs args;
    args.x = buffer.mutable_view().Slice(2, c.heads, 2 * c.heads);
    if (c.scaled) args.scale = scale;
    if (c.half > 0) {
      args.cos = cosine;
      args.sin = sine;
    }
    RunImplementation(RopeTable(), name, args);
    return buffer;
  };
  const Tensor want = run("ref");
  const RopeArgs probe;
  ForEachFast(RopeTable(), probe, [&](std::string_view name) {
    ForEachTarget([&] {
      const Tensor got = run(name);
      EXPECT_LT(RmsError(got, want), ToleranceOf(c.dtype));
      for (const int part : {0, 2}) {
        EXPECT_TRUE(
            SameBits(Cast(got.view().Slice(2, part * c.heads, (part + 1) * c.heads), c.dtype),
                     Cast(start.view().Slice(2, part * c.heads, (part + 1) * c.heads), c.dtype)));
      }
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, RopeTest,
                         testing::Values(Case{2, 33, 2, 64, 16, DType::kF32, true},
                                         Case{1, 5, 3, 12, 3, DType::kF32, true},
                                         Case{2, 7, 1, 40, 20, DType::kF32, false},
                                         Case{1, 9, 4, 24, 0, DType::kF32, true},
                                         Case{2, 17, 2, 64, 16, DType::kBF16, true},
                                         Case{1, 6, 2, 20, 5, DType::kBF16, true},
                                         Case{2, 9, 3, 128, 32, DType::kBF16, true},
                                         Case{1, 5, 2, 96, 48, DType::kF32, false},
                                         Case{1, 7, 1, 256, 64, DType::kF32, true},
                                         Case{1, 3, 2, 264, 8, DType::kBF16, true}));

TEST(RopeHeads, RepeatScaleAndAnglesForKeysBesideQueries) {
  const Tensor start = RandomTensor({2, 9, 3 * 2, 64}, 1);
  const Tensor cosine = RandomTensor({9, 2, 16}, 2);
  const Tensor sine = RandomTensor({9, 2, 16}, 3);
  Tensor scale({2}, DType::kF32);
  for (int h = 0; h < 2; ++h) scale.MutableData<float>()[h] = static_cast<float>(3 + h);
  for (const auto& implementation : RopeTable().implementations()) {
    if (!RunsHere(implementation)) continue;
    Tensor together = Cast(start, DType::kF32);
    Tensor apart = Cast(start, DType::kF32);
    RunImplementation(RopeTable(), implementation.name,
                      RopeArgs{together.mutable_view().Slice(2, 0, 4), scale, 1e-6f, cosine, sine});
    for (const int64_t first : {0, 2}) {
      RunImplementation(
          RopeTable(), implementation.name,
          RopeArgs{apart.mutable_view().Slice(2, first, first + 2), scale, 1e-6f, cosine, sine});
    }
    EXPECT_TRUE(SameBits(together, apart)) << implementation.name;
    EXPECT_FALSE(SameBits(together, start)) << implementation.name;
  }
}

TEST(RopeErrors, NameTheArgument) {
  Context ctx;
  Tensor x({1, 4, 2, 8}, DType::kF32);
  Tensor table({4, 2, 2}, DType::kF32);
  Tensor wide({4, 2, 5}, DType::kF32);
  const View view = x.mutable_view();
  ExpectError(ErrorKind::kShape, "rope: cos and sin", [&] {
    Rope(ctx, RopeArgs{view, {}, 0, table, {}});
  });
  ExpectError(ErrorKind::kShape, "rotates 10 channels", [&] {
    Rope(ctx, RopeArgs{view, {}, 0, wide, wide});
  });
  ExpectError(ErrorKind::kShape, "rope: sin must be", [&] {
    Rope(ctx, RopeArgs{view, {}, 0, table, wide});
  });
  Tensor three({4, 3, 2}, DType::kF32);  // does not go round the two heads
  ExpectError(ErrorKind::kShape, "rope: cos must be [4, 2, 2]", [&] {
    Rope(ctx, RopeArgs{view, {}, 0, three, three});
  });
  ExpectError(ErrorKind::kShape, "rope: scale must be [2]", [&] {
    Rope(ctx, RopeArgs{view, Tensor({1}, DType::kF32), 0, table, table});
  });
  ExpectError(ErrorKind::kShape, "rope: scale must be [2]", [&] {
    Rope(ctx, RopeArgs{view, table, 0, {}, {}});
  });
}

}  // namespace
}  // namespace gesso
