// RmsNorm and LayerNorm against ref and against hand-computed values, on every vector width.
#include "kernels/norm.h"

#include <vector>

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

TEST(RmsNormRef, HandComputed) {
  Tensor x({1, 1, 2}, DType::kF32);
  x.MutableData<float>()[0] = 3;
  x.MutableData<float>()[1] = 4;
  Tensor scale({2}, DType::kF32);
  scale.MutableData<float>()[1] = 1;
  Tensor out({1, 1, 2}, DType::kF32);
  RmsNormArgs args{x, scale, 1, 0, out.mutable_view()};
  RunImplementation(RmsNormTable(), "ref", args);
  const double root = std::sqrt(12.5);  // of the mean square
  EXPECT_FLOAT_EQ(out.Data<float>()[0], static_cast<float>(3 / root));
  EXPECT_FLOAT_EQ(out.Data<float>()[1], static_cast<float>(2 * 4 / root));
}

TEST(LayerNormRef, HandComputed) {
  Tensor x({1, 1, 4}, DType::kF32);
  for (int i = 0; i < 4; ++i) x.MutableData<float>()[i] = static_cast<float>(i);
  Tensor shift({1, 4}, DType::kF32);
  shift.MutableData<float>()[3] = 10;
  Tensor out({1, 1, 4}, DType::kF32);
  LayerNormArgs args{x, {}, shift, 0, 0, out.mutable_view()};
  RunImplementation(LayerNormTable(), "ref", args);
  const double deviation = std::sqrt(1.25);
  EXPECT_FLOAT_EQ(out.Data<float>()[0], static_cast<float>(-1.5 / deviation));
  EXPECT_FLOAT_EQ(out.Data<float>()[3], static_cast<float>(1.5 / deviation + 10));
}

struct Case {
  Shape x;
  DType in, out;
  int scale_rank;  // 0 absent, 1 shared, 2 a picture
};

class NormTest : public testing::TestWithParam<Case> {
 protected:
  Tensor Modulation(uint32_t seed) const {
    const Case& c = GetParam();
    if (c.scale_rank == 0) return {};
    return RandomTensor(c.scale_rank == 1 ? Shape{c.x[2]} : Shape{c.x[0], c.x[2]}, seed);
  }
  template <class Args>
  void Compare(const OpTable<Args>& table, Args args) const {
    Tensor want(GetParam().x, GetParam().out);
    args.out = want.mutable_view();
    RunImplementation(table, "ref", args);
    ForEachFast(table, args, [&](std::string_view name) {
      ForEachTarget([&] {
        Tensor got(GetParam().x, GetParam().out);
        args.out = got.mutable_view();
        RunImplementation(table, name, args);
        EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam().out));
      });
    });
  }
};

TEST_P(NormTest, RmsNormEqualsRef) {
  const Tensor x = RandomTensor(GetParam().x, 1, GetParam().in, 3);
  const Tensor scale = Modulation(2);
  RmsNormArgs args;
  args.x = x;
  args.scale = scale;
  args.scale_offset = 1;
  Compare(RmsNormTable(), args);
}

TEST_P(NormTest, RmsNormInGroupsEqualsRef) {
  const Tensor x = RandomTensor(GetParam().x, 1, GetParam().in, 3);
  const Tensor scale = Modulation(2);
  const Tensor shift = Modulation(3);
  for (int64_t groups = 2; groups <= GetParam().x[2]; ++groups) {
    if (GetParam().x[2] % groups != 0) continue;
    RmsNormArgs args;
    args.x = x;
    args.scale = scale;
    args.groups = groups;
    args.shift = shift;
    Compare(RmsNormTable(), args);
    return;
  }
}

TEST(RmsNormRef, GroupsHaveMeansOfTheirOwn) {
  const float values[] = {3, 4, 6, 8};
  float out[4];
  RmsNormArgs args;
  args.x = ConstView(values, {1, 1, 4}, DType::kF32);
  args.eps = 0;
  args.out = View(out, {1, 1, 4}, DType::kF32);
  args.groups = 2;
  RunImplementation(RmsNormTable(), "ref", args);
  EXPECT_FLOAT_EQ(out[0], static_cast<float>(3 / std::sqrt(12.5)));
  EXPECT_FLOAT_EQ(out[2], out[0]);
  EXPECT_FLOAT_EQ(out[3], out[1]);
}

TEST_P(NormTest, LayerNormEqualsRef) {
  Tensor x = RandomTensor(GetParam().x, 1, DType::kF32, 2);
  for (int64_t i = 0; i < x.shape().numel(); ++i) x.MutableData<float>()[i] += 5;  // a mean
  const Tensor typed = Cast(x, GetParam().in);
  const Tensor scale = Modulation(2);
  const Tensor shift = Modulation(3);
  LayerNormArgs args;
  args.x = typed;
  args.scale = scale;
  args.shift = shift;
  args.scale_offset = 0.5f;
  Compare(LayerNormTable(), args);
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormTest,
                         testing::Values(Case{{1, 1, 1}, DType::kF32, DType::kF32, 0},
                                         Case{{2, 3, 7}, DType::kF32, DType::kF32, 1},
                                         Case{{2, 5, 128}, DType::kF32, DType::kF32, 2},
                                         Case{{1, 9, 129}, DType::kF32, DType::kBF16, 2},
                                         Case{{3, 4, 100}, DType::kBF16, DType::kF32, 1},
                                         Case{{2, 40, 512}, DType::kBF16, DType::kBF16, 2},
                                         Case{{3, 700, 33}, DType::kF32, DType::kF32, 2},
                                         // One a way in which a GPU shares rows out.
                                         Case{{2, 37, 64}, DType::kBF16, DType::kBF16, 2},
                                         Case{{3, 67, 256}, DType::kF32, DType::kBF16, 1},
                                         Case{{1, 9, 1000}, DType::kBF16, DType::kF32, 0},
                                         Case{{2, 300, 1024}, DType::kBF16, DType::kBF16, 2},
                                         Case{{2, 5, 1536}, DType::kF32, DType::kF32, 2},
                                         Case{{2, 3, 2560}, DType::kBF16, DType::kBF16, 1},
                                         Case{{1, 3, 5120}, DType::kF32, DType::kF32, 2},
                                         Case{{2, 2, 4098}, DType::kBF16, DType::kBF16, 2},
                                         Case{{1, 2, 9000}, DType::kF32, DType::kF32, 1}));

TEST(NormModulation, RowsMayBeStrided) {
  const Tensor x = RandomTensor({3, 5, 40}, 1);
  const Tensor wide = RandomTensor({3, 100}, 2);
  for (const int64_t first : {30, 32}) {  // the latter at a multiple of 16 bytes
    const ConstView rows = wide.view().Slice(1, first, first + 40);
    const Tensor dense = Cast(rows, DType::kF32);
    Tensor want({3, 5, 40}, DType::kF32);
    RunImplementation(RmsNormTable(), "ref", RmsNormArgs{x, dense, 1, 1e-6f, want.mutable_view()});
    for (const auto& implementation : RmsNormTable().implementations()) {
      if (!RunsHere(implementation)) continue;
      Tensor got({3, 5, 40}, DType::kF32);
      RunImplementation(RmsNormTable(), implementation.name,
                        RmsNormArgs{x, rows, 1, 1e-6f, got.mutable_view()});
      EXPECT_LT(RmsError(got, want), ToleranceOf(DType::kF32)) << implementation.name;
    }
  }
}

TEST(NormThreads, DoNotChangeTheResult) {
  const Tensor x = RandomTensor({3, 500, 70}, 1);
  const Tensor scale = RandomTensor({3, 70}, 2);
  std::vector<Tensor> results;
  const int before = NumThreads();
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    Tensor out({3, 500, 70}, DType::kF32);
    Context ctx;
    RmsNorm(ctx, RmsNormArgs{x, scale, 1, 1e-6f, out.mutable_view()});
    results.push_back(out);
  }
  SetNumThreads(before);
  EXPECT_TRUE(SameBits(results[0], results[1]));
  EXPECT_TRUE(SameBits(results[0], results[2]));
}

TEST(NormErrors, NameTheArgument) {
  Context ctx;
  Tensor x({2, 3, 8}, DType::kF32);
  Tensor other({2, 3, 7}, DType::kF32);
  Tensor three({3, 8}, DType::kF32);
  RmsNormArgs rms{x, {}, 0, 1e-6f, other.mutable_view()};
  ExpectError(ErrorKind::kShape, "rms_norm: out", [&] { RmsNorm(ctx, rms); });
  rms = {x, three, 0, 1e-6f, x.mutable_view()};
  ExpectError(ErrorKind::kShape, "rms_norm: scale must be [8] or [2, 8]",
              [&] { RmsNorm(ctx, rms); });
  LayerNormArgs layer{x, {}, three, 0, 1e-6f, x.mutable_view()};
  ExpectError(ErrorKind::kShape, "layer_norm: shift", [&] { LayerNorm(ctx, layer); });
  Tensor ints({2, 3, 8}, DType::kI32);
  layer = {ints, {}, {}, 0, 1e-6f, x.mutable_view()};
  ExpectError(ErrorKind::kUnsupported, "layer_norm: x", [&] { LayerNorm(ctx, layer); });
}

}  // namespace
}  // namespace gesso
