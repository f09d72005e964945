// The three attentions against ref on slices of a q-k-v buffer, and ref against known values.
#include "kernels/attention.h"

#include <vector>

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

Tensor Filled(const Shape& shape, std::initializer_list<float> values) {
  Tensor t(shape, DType::kF32);
  std::copy(values.begin(), values.end(), t.MutableData<float>());
  return t;
}

TEST(AttentionRef, HandComputed) {
  // Scores ln 1 and ln 3 (after scale and bias): weights 1/4 and 3/4.
  const Tensor q = Filled({1, 1, 1, 2}, {1, 0});
  const Tensor k = Filled({1, 3, 1, 2}, {2, 5, 0, -7, 100, 0});
  const Tensor v = Filled({1, 3, 1, 2}, {4, 0, 8, 1, 1000, 1000});
  const Tensor bias = Filled({1, 1, 3}, {-1, std::log(3.0f), 0});
  Tensor mask({1, 3}, DType::kI32);
  mask.MutableData<int32_t>()[0] = 1;
  mask.MutableData<int32_t>()[1] = -5;  // anything but 0 takes part
  Tensor out({1, 1, 1, 2}, DType::kF32);
  AttentionArgs args{q, k, v, bias, mask, 0.5f, out.mutable_view()};
  RunImplementation(AttentionTable(), "ref", args);
  EXPECT_FLOAT_EQ(out.Data<float>()[0], 0.25f * 4 + 0.75f * 8);
  EXPECT_FLOAT_EQ(out.Data<float>()[1], 0.75f);
}

// With equal scores every query gets the mean of the values that it sees; the values are the
// positions, so the mean tells the window.
TEST(WindowAttentionRef, WindowsAreCutAtTheBorder) {
  const Tensor zero({1, 1, 7, 1, 1}, DType::kF32);
  const Tensor v = Filled({1, 1, 7, 1, 1}, {0, 1, 2, 3, 4, 5, 6});
  Tensor out({1, 1, 7, 1, 1}, DType::kF32);
  WindowAttentionArgs args{zero, zero, v, 4, 0, 1, out.mutable_view()};
  RunImplementation(WindowAttentionTable(), "ref", args);
  const float whole[7] = {1.5f, 1.5f, 1.5f, 1.5f, 5, 5, 5};
  for (int i = 0; i < 7; ++i) EXPECT_FLOAT_EQ(out.Data<float>()[i], whole[i]) << i;
  args.shift = 1;
  RunImplementation(WindowAttentionTable(), "ref", args);
  const float shifted[7] = {1, 1, 1, 4.5f, 4.5f, 4.5f, 4.5f};
  for (int i = 0; i < 7; ++i) EXPECT_FLOAT_EQ(out.Data<float>()[i], shifted[i]) << i;
}

TEST(NeighborhoodAttentionRef, WindowsMoveInwardsAtTheBorder) {
  const Tensor zero({1, 3, 6, 1, 1}, DType::kF32);
  Tensor v({1, 3, 6, 1, 1}, DType::kF32);
  for (int i = 0; i < 18; ++i) v.MutableData<float>()[i] = static_cast<float>(i % 6 + 10 * (i / 6));
  Tensor out({1, 3, 6, 1, 1}, DType::kF32);
  NeighborhoodAttentionArgs args{zero, zero, v, 3, 1, out.mutable_view()};
  RunImplementation(NeighborhoodAttentionTable(), "ref", args);
  const float columns[6] = {1, 1, 2, 3, 4, 4};  // rows: 0, 1 and 2 always, mean 10
  for (int i = 0; i < 18; ++i) EXPECT_FLOAT_EQ(out.Data<float>()[i], 10 + columns[i % 6]) << i;
}

struct Case {
  int64_t batch, queries, keys, heads, depth;
  DType dtype;
  bool bias, mask;
};

class AttentionTest : public testing::TestWithParam<Case> {};

TEST_P(AttentionTest, EqualsRef) {
  const Case c = GetParam();
  const Tensor q = RandomTensor({c.batch, c.queries, 3, c.heads, c.depth}, 1, c.dtype);
  const Tensor kv = RandomTensor({c.batch, c.keys, 2, c.heads, c.depth}, 2, c.dtype);
  const Tensor bias = RandomTensor({c.heads, c.queries, c.keys}, 3);
  Tensor mask({c.batch, c.keys}, DType::kI32);
  for (int64_t i = 0; i < c.keys; ++i) {  // the last picture's keys are all masked
    for (int64_t b = 0; b < c.batch - 1; ++b) {
      mask.MutableData<int32_t>()[b * c.keys + i] = i % 3 != b ? 1 : 0;
    }
  }
  const auto part = [](const Tensor& t, int64_t i) {
    ConstView view = t.view().Slice(2, i, i + 1).Permute({0, 1, 3, 4, 2});
    const Shape& s = view.shape;
    view.shape = Shape{s[0], s[1], s[2], s[3]};
    return view;
  };
  AttentionArgs args;
  args.q = part(q, 1);
  args.k = part(kv, 0);
  args.v = part(kv, 1);
  if (c.bias) args.bias = bias;
  if (c.mask) args.key_mask = mask;
  args.scale = 1 / std::sqrt(static_cast<float>(c.depth));
  const Shape shape{c.batch, c.queries, c.heads, c.depth};
  Tensor want(shape, c.dtype);
  args.out = want.mutable_view();
  RunImplementation(AttentionTable(), "ref", args);
  ForEachTarget([&] {
    ForEachFast(AttentionTable(), args, [&](std::string_view name) {
      Tensor got(shape, c.dtype);
      args.out = got.mutable_view();
      RunImplementation(AttentionTable(), name, args);
      EXPECT_LT(RmsError(got, want), ToleranceOf(c.dtype));
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         testing::Values(Case{1, 1, 1, 1, 1, DType::kF32, false, false},
                                         Case{2, 7, 5, 3, 12, DType::kF32, true, true},
                                         Case{1, 256, 256, 2, 64, DType::kF32, false, false},
                                         Case{2, 100, 300, 2, 40, DType::kF32, true, false},
                                         Case{3, 97, 129, 1, 128, DType::kF32, false, true},
                                         Case{2, 33, 17, 2, 20, DType::kBF16, true, true},
                                         Case{2, 70, 77, 2, 72, DType::kBF16, true, true},
                                         Case{1, 130, 260, 1, 64, DType::kBF16, false, false},
                                         Case{2, 9, 8, 3, 8, DType::kBF16, true, true},
                                         Case{1, 1, 300, 2, 24, DType::kBF16, false, false},
                                         Case{3, 36, 255, 1, 32, DType::kBF16, false, true},
                                         Case{1, 300, 513, 1, 40, DType::kBF16, true, false},
                                         Case{2, 257, 520, 1, 96, DType::kBF16, true, true},
                                         Case{1, 49, 288, 2, 128, DType::kBF16, false, false},
                                         Case{1, 64, 31, 1, 264, DType::kBF16, false, false},
                                         Case{2, 70, 72, 2, 160, DType::kF32, false, false},
                                         Case{2, 33, 17, 2, 136, DType::kBF16, false, false},
                                         Case{1, 64, 64, 1, 640, DType::kBF16, false, false}));

class AttentionOf : public testing::TestWithParam<DType> {};

TEST_P(AttentionOf, LargeScoresDoNotOverflow) {
  const Tensor q = RandomTensor({1, 9, 1, 16}, 1, GetParam(), 50);
  const Tensor k = RandomTensor({1, 600, 1, 16}, 2, GetParam(), 50);
  const Tensor v = RandomTensor({1, 600, 1, 16}, 3, GetParam());
  Tensor want(q.shape(), GetParam());
  Tensor got(q.shape(), GetParam());
  RunImplementation(AttentionTable(), "ref", {q, k, v, {}, {}, 1, want.mutable_view()});
  Context ctx;
  Attention(ctx, {q, k, v, {}, {}, 1, got.mutable_view()});
  EXPECT_LT(RmsError(got, want), 1e-3);  // scores of 1e4 keep three decimals in float32
}

// Weights that are rounded still add up to one.
TEST_P(AttentionOf, EqualValuesIsTheirValue) {
  const Tensor q = RandomTensor({1, 40, 2, 24}, 1, GetParam());
  const Tensor k = RandomTensor({1, 300, 2, 24}, 2, GetParam());
  Tensor v({1, 300, 2, 24}, DType::kF32);
  std::fill_n(v.MutableData<float>(), v.shape().numel(), 1.5f);
  Tensor out(q.shape(), GetParam());
  Context ctx;
  Attention(ctx, {q, k, Cast(v, GetParam()), {}, {}, 0.2f, out.mutable_view()});
  const Tensor got = Cast(out, DType::kF32);
  for (int64_t i = 0; i < got.shape().numel(); ++i) {
    EXPECT_NEAR(got.Data<float>()[i], 1.5f, 1e-5f) << i;
  }
}

TEST_P(AttentionOf, NoKeysIsZero) {
  for (const int64_t depth : {8, 136}) {
    const Tensor q = RandomTensor({1, 3, 1, depth}, 1, GetParam());
    const Tensor none({1, 0, 1, depth}, GetParam());
    Context ctx{.device = CurrentBackend() == nullptr ? Device::kCpu : Device::kCuda};
    Tensor out = RandomTensor(q.shape(), 2, GetParam());
    Attention(ctx, {q, none, none, {}, {}, 1, out.mutable_view()});
    const Tensor got = Cast(out, DType::kF32);
    for (int64_t i = 0; i < 3 * depth; ++i) EXPECT_EQ(got.Data<float>()[i], 0) << i;
  }
}

TEST_P(AttentionOf, NanIsNotHidden) {
  Tensor q = RandomTensor({1, 3, 1, 8}, 1);
  const Tensor kv = RandomTensor({1, 300, 1, 8}, 2, GetParam());
  q.MutableData<float>()[8] = NAN;
  Tensor out({1, 3, 1, 8}, GetParam());
  Context ctx;
  Attention(ctx, {Cast(q, GetParam()), kv, kv, {}, {}, 1, out.mutable_view()});
  const Tensor got = Cast(out, DType::kF32);
  for (int i = 0; i < 24; ++i) EXPECT_EQ(std::isnan(got.Data<float>()[i]), i / 8 == 1) << i;
}

INSTANTIATE_TEST_SUITE_P(Types, AttentionOf, testing::Values(DType::kF32, DType::kBF16));

struct GridCase {
  int64_t batch, rows, columns, heads, depth, size, shift;
  DType dtype;
};

// q, k and v are slices of [B, Y, X, 3 H, D].
template <class Args>
Args GridArgs(const GridCase& c, const Tensor& qkv) {
  Args args;
  args.q = qkv.view().Slice(3, 0, c.heads);
  args.k = qkv.view().Slice(3, c.heads, 2 * c.heads);
  args.v = qkv.view().Slice(3, 2 * c.heads, 3 * c.heads);
  args.scale = 1 / std::sqrt(static_cast<float>(c.depth));
  return args;
}

Tensor GridInput(const GridCase& c) {
  return RandomTensor({c.batch, c.rows, c.columns, 3 * c.heads, c.depth}, 1, c.dtype, 1.5f);
}

template <class Args>
void CompareOnGrid(const GridCase& c, const OpTable<Args>& table, Args args) {
  const Shape shape{c.batch, c.rows, c.columns, c.heads, c.depth};
  Tensor want(shape, c.dtype);
  args.out = want.mutable_view();
  RunImplementation(table, "ref", args);
  ForEachTarget([&] {
    ForEachFast(table, args, [&](std::string_view name) {
      Tensor got(shape, c.dtype);
      args.out = got.mutable_view();
      RunImplementation(table, name, args);
      EXPECT_LT(RmsError(got, want), ToleranceOf(c.dtype));
    });
  });
}

class WindowAttentionTest : public testing::TestWithParam<GridCase> {};

TEST_P(WindowAttentionTest, EqualsRef) {
  const GridCase c = GetParam();
  const Tensor qkv = GridInput(c);
  auto args = GridArgs<WindowAttentionArgs>(c, qkv);
  args.window = c.size;
  args.shift = c.shift;
  CompareOnGrid(c, WindowAttentionTable(), args);
}

INSTANTIATE_TEST_SUITE_P(Shapes, WindowAttentionTest,
                         testing::Values(GridCase{1, 16, 24, 2, 64, 8, 0, DType::kF32},
                                         GridCase{2, 16, 24, 2, 64, 8, 4, DType::kF32},
                                         GridCase{1, 5, 7, 1, 12, 4, 3, DType::kF32},
                                         GridCase{1, 3, 2, 3, 8, 10, 5, DType::kF32},
                                         GridCase{1, 28, 14, 1, 20, 14, 7, DType::kF32},
                                         GridCase{1, 16, 24, 2, 64, 8, 4, DType::kBF16},
                                         GridCase{2, 9, 9, 2, 24, 4, 2, DType::kBF16},
                                         GridCase{1, 28, 14, 1, 40, 14, 7, DType::kBF16},
                                         GridCase{1, 20, 19, 1, 96, 18, 1, DType::kBF16}));

class NeighborhoodAttentionTest : public testing::TestWithParam<GridCase> {};

TEST_P(NeighborhoodAttentionTest, EqualsRef) {
  const GridCase c = GetParam();
  const Tensor qkv = GridInput(c);
  auto args = GridArgs<NeighborhoodAttentionArgs>(c, qkv);
  args.kernel_size = c.size;
  CompareOnGrid(c, NeighborhoodAttentionTable(), args);
}

INSTANTIATE_TEST_SUITE_P(Shapes, NeighborhoodAttentionTest,
                         testing::Values(GridCase{1, 1, 1, 1, 4, 1, 0, DType::kF32},
                                         GridCase{1, 7, 7, 1, 8, 7, 0, DType::kF32},
                                         GridCase{2, 16, 16, 2, 64, 7, 0, DType::kF32},
                                         GridCase{1, 64, 64, 2, 64, 7, 0, DType::kF32},
                                         GridCase{1, 19, 150, 1, 12, 5, 0, DType::kF32},
                                         GridCase{1, 35, 20, 2, 40, 13, 0, DType::kF32},
                                         GridCase{1, 17, 67, 1, 16, 3, 0, DType::kF32},
                                         GridCase{1, 9, 11, 1, 128, 9, 0, DType::kF32},
                                         GridCase{1, 20, 8, 1, 100, 1, 0, DType::kF32},
                                         GridCase{2, 18, 33, 2, 20, 7, 0, DType::kBF16},
                                         GridCase{1, 32, 32, 2, 64, 7, 0, DType::kBF16}));

TEST_P(AttentionOf, ThreadsDoNotChangeTheResult) {
  const GridCase c{2, 20, 24, 2, 20, 7, 3, GetParam()};
  const Tensor qkv = GridInput(c);
  auto neighborhood = GridArgs<NeighborhoodAttentionArgs>(c, qkv);
  auto window = GridArgs<WindowAttentionArgs>(c, qkv);
  window.shift = c.shift;
  const Tensor q = RandomTensor({2, 300, 1, 20}, 5, c.dtype);
  std::vector<std::vector<Tensor>> results;
  const int before = NumThreads();
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    Context ctx;
    const Shape grid{c.batch, c.rows, c.columns, c.heads, c.depth};
    results.push_back({Tensor(grid, c.dtype), Tensor(grid, c.dtype), Tensor(q.shape(), c.dtype)});
    neighborhood.out = results.back()[0].mutable_view();
    NeighborhoodAttention(ctx, neighborhood);
    window.out = results.back()[1].mutable_view();
    WindowAttention(ctx, window);
    Attention(ctx, {q, q, q, {}, {}, 0.2f, results.back()[2].mutable_view()});
  }
  SetNumThreads(before);
  for (const size_t op : {0, 1, 2}) {
    EXPECT_TRUE(SameBits(results[0][op], results[1][op])) << op;
    EXPECT_TRUE(SameBits(results[0][op], results[2][op])) << op;
  }
}

TEST(AttentionErrors, NameTheArgument) {
  Context ctx;
  Tensor q({1, 4, 2, 8}, DType::kF32);
  Tensor narrow({1, 4, 2, 7}, DType::kF32);
  Tensor half({1, 4, 2, 8}, DType::kBF16);
  Tensor bias({2, 4, 5}, DType::kF32);
  const View out = q.mutable_view();
  ExpectError(ErrorKind::kShape, "attention: k must be [1, 4, 2, 8]", [&] {
    Attention(ctx, {q, narrow, narrow, {}, {}, 1, out});
  });
  ExpectError(ErrorKind::kUnsupported, "attention: v must be float32", [&] {
    Attention(ctx, {q, q, half, {}, {}, 1, out});
  });
  ExpectError(ErrorKind::kShape, "attention: bias must be [2, 4, 4]", [&] {
    Attention(ctx, {q, q, q, bias, {}, 1, out});
  });
  ExpectError(ErrorKind::kUnsupported, "attention: key_mask must be int32", [&] {
    Attention(ctx, {q, q, q, {}, bias, 1, out});
  });
  Tensor grid({1, 6, 6, 1, 4}, DType::kF32);
  const View grid_out = grid.mutable_view();
  ExpectError(ErrorKind::kShape, "kernel_size 7 exceeds the token grid 6 x 6", [&] {
    NeighborhoodAttention(ctx, {grid, grid, grid, 7, 1, grid_out});
  });
  ExpectError(ErrorKind::kShape, "kernel_size 4 must be odd", [&] {
    NeighborhoodAttention(ctx, {grid, grid, grid, 4, 1, grid_out});
  });
  ExpectError(ErrorKind::kShape, "shift 4 must lie in 0..3", [&] {
    WindowAttention(ctx, {grid, grid, grid, 4, 4, 1, grid_out});
  });
}

}  // namespace
}  // namespace gesso
