// Rows of the GPU that stay in registers, four numbers at a time, against ref: the lanes of a row
// and the threads of a block are emulated on the CPU.
#include "kernels/cuda/device/group_norm.cuh"
#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/device/norm.cuh"
#include "kernels/cuda/heads.h"
#include "kernels/cuda/quad_plan.h"
#include "tests/support/cuda_bodies.h"
#include "tests/support/cuda_threads.h"
#include "tests/support/heads.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

class CudaQuads : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaQuads, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

// By the lanes that such rows have on a GPU.
template <template <int> class InQuads, class Row>
void RunInQuads(const Row& row, int multiprocessors = 1) {
  ASSERT_TRUE(row.InQuads());
  cuda::ShareOutQuads(row.Rows(), row.size, multiprocessors, [&]<int kLanes, int kQuads>() {
    RunRowsByLanes(row.Rows(), kLanes, InQuads<kQuads>(row));
  });
}

TEST(CudaQuadRows, HaveLanesByTheirSize) {
  const auto shares = [](int64_t rows, int64_t size) {
    std::pair<int, int> found;
    cuda::ShareOutQuads(rows, size, 132, [&]<int kLanes, int kQuads>() {
      found = {kLanes, kQuads};
    });
    return found;
  };
  // The longest rows that have these lanes; the lanes and quads of each.
  const std::tuple<int64_t, int, int> many[] = {{64, 8, 2},     {128, 16, 2},  {256, 32, 2},
                                                {512, 32, 4},   {1024, 32, 8}, {2048, 256, 2},
                                                {4096, 256, 4}, {8192, 256, 8}};
  int64_t shortest = cuda::kQuad;
  for (const auto& [longest, lanes, quads] : many) {
    EXPECT_LE(longest, int64_t{lanes} * quads * cuda::kQuad);
    for (const int64_t size : {shortest, longest}) {
      EXPECT_EQ(shares(265, size), std::pair(lanes, quads)) << size;
      const bool in_blocks = size > 512 && size <= 1024;  // of few rows
      EXPECT_EQ(shares(264, size), in_blocks ? std::pair(256, 2) : std::pair(lanes, quads)) << size;
    }
    shortest = longest + cuda::kQuad;
  }
  EXPECT_EQ(shortest, cuda::kMostInQuads + cuda::kQuad);
}

void ExpectNorms(int64_t width, DType dtype, int multiprocessors) {
  const Shape shape{2, 3, width};
  const Tensor x = RandomTensor(shape, 1, dtype, 3);
  const Tensor wide = RandomTensor({2, width + 20}, 2);
  const ConstView scale = wide.view().Slice(1, 8, 8 + width);  // rows lie apart
  const Tensor shift = RandomTensor({width}, 3);
  for (const int64_t groups : {1, 2}) {
    const RmsNormArgs rms{.x = x,
                          .scale = scale,
                          .scale_offset = 1,
                          .out = {},
                          .groups = groups,
                          .shift = groups == 1 ? ConstView() : shift.view()};
    ExpectLikeRef(RmsNormTable(), rms, shape, dtype, [&](const auto& args) {
      RunInQuads<cuda::RmsNormQuads>(cuda::RmsNormRow(args), multiprocessors);
    });
  }
  const LayerNormArgs layer{.x = x, .scale = scale, .shift = shift, .scale_offset = 1, .out = {}};
  ExpectLikeRef(LayerNormTable(), layer, shape, dtype, [&](const auto& args) {
    RunInQuads<cuda::LayerNormQuads>(cuda::LayerNormRow(args), multiprocessors);
  });
}

TEST_P(CudaQuads, Norms) {
  for (const int64_t width : {8, 24, 64, 128, 504, 1000, 1024, 1536, 2560, 4096, 5120}) {
    SCOPED_TRACE(width);
    ExpectNorms(width, GetParam(), 1);
    if (width == 1000) ExpectNorms(width, GetParam(), 132);
  }
}

TEST_P(CudaQuads, NormsOfAnotherTypeAndInPlace) {
  const Shape shape{3, 2, 36};
  const Tensor x = RandomTensor(shape, 1, GetParam());
  const LayerNormArgs plain{.x = x, .scale = {}, .shift = {}, .out = {}};
  const DType other = GetParam() == DType::kF32 ? DType::kBF16 : DType::kF32;
  Tensor want(shape, GetParam());
  LayerNormArgs args = plain;
  args.out = want.mutable_view();
  RunImplementation(LayerNormTable(), "ref", args);
  Tensor got = Cast(x, GetParam());
  args.x = got;
  args.out = got.mutable_view();
  RunInQuads<cuda::LayerNormQuads>(cuda::LayerNormRow(args));
  EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam()));
  Tensor cast(shape, other);
  args.x = x;
  args.out = cast.mutable_view();
  RunInQuads<cuda::LayerNormQuads>(cuda::LayerNormRow(args));
  EXPECT_LT(RmsError(cast, want), ToleranceOf(DType::kBF16));
}

TEST(CudaQuadRows, AreRefusedWhereTheyDoNotLie) {
  const Tensor x({2, 3, 24}, DType::kBF16);
  const Tensor scale({2, 60}, DType::kF32);
  Tensor out({2, 3, 24}, DType::kF32);
  RmsNormArgs args{.x = x, .scale = {}, .out = out.mutable_view()};
  EXPECT_TRUE(cuda::RmsNormRow(args).InQuads());
  args.groups = 4;  // of 6 numbers
  EXPECT_FALSE(cuda::RmsNormRow(args).InQuads());
  args.groups = 2;
  args.scale = scale.view().Slice(1, 4, 28);
  EXPECT_TRUE(cuda::RmsNormRow(args).InQuads());
  args.scale = scale.view().Slice(1, 2, 26);
  EXPECT_FALSE(cuda::RmsNormRow(args).InQuads());
  args.scale = {};
  args.x.data = x.Data<BFloat16>() + 2;
  EXPECT_FALSE(cuda::RmsNormRow(args).InQuads());
}

// Numbers about a mean, so that squares cancel where it is not taken off.
Tensor Picture(const Shape& shape, DType dtype) {
  Tensor values = RandomTensor(shape, 1, DType::kF32, 2);
  for (int64_t i = 0; i < shape.numel(); ++i) values.MutableData<float>()[i] += 20;
  return Cast(values, dtype);
}

// Blocks in any order: none waits for another.
template <class Body>
void RunBlocks(const Body& body, int threads, size_t shared_bytes) {
  std::vector<float> shared(shared_bytes / sizeof(float));
  for (int64_t block = body.Blocks() - 1; block >= 0; --block) {
    std::fill(shared.begin(), shared.end(), NAN);
    CudaThreads all(threads / 32, Arrival::kLate);
    body(block, all, shared.data());
  }
}

void RunInStrips(const GroupNormArgs& args, int multiprocessors) {
  const cuda::GroupNormRow row(args);
  ASSERT_TRUE(cuda::GroupNormStrips::Accepts(row));
  const int64_t pictures = args.x.shape[0];
  const cuda::GroupNormStrips strips(pictures, row.pixels, row.channels, multiprocessors);
  std::vector<cuda::GroupMoments> parts(static_cast<size_t>(pictures * row.groups * strips.count));
  std::vector<cuda::GroupMoments> moments(static_cast<size_t>(pictures * row.groups));
  const cuda::GroupStripMoments first(args, strips, parts.data());
  RunBlocks(first, strips.Threads(), first.SharedBytes());
  RunRows(pictures * row.groups, cuda::GroupMomentsRow(row, strips, parts.data(), moments.data()));
  RunBlocks(cuda::GroupNormStrip(args, strips, moments.data()), strips.Threads(), 0);
}

TEST_P(CudaQuads, GroupNormInStrips) {
  for (const auto& [shape, groups] :
       {std::pair{Shape{2, 9, 31, 160}, int64_t{32}}, std::pair{Shape{1, 20, 20, 12}, int64_t{4}},
        std::pair{Shape{3, 5, 7, 640}, int64_t{32}}, std::pair{Shape{1, 3, 2, 1024}, int64_t{1}}}) {
    const Tensor x = Picture(shape, GetParam());
    const Tensor scale = RandomTensor({shape[3]}, 2);
    const Tensor shift = RandomTensor({shape[3]}, 3);
    GroupNormArgs args{.x = x,
                       .groups = groups,
                       .scale = scale,
                       .shift = shift,
                       .activation = Activation::kSilu,
                       .out = {}};
    for (const int multiprocessors : {1, 132}) {
      ExpectLikeRef(GroupNormTable(), args, shape, GetParam(),
                    [&](const auto& all) { RunInStrips(all, multiprocessors); });
    }
    args.scale = {};
    args.shift = {};
    args.activation = Activation::kNone;
    ExpectLikeRef(GroupNormTable(), args, shape, GetParam(),
                  [&](const auto& all) { RunInStrips(all, 3); });
  }
}

TEST_P(CudaQuads, GroupNormInRegisters) {
  const Shape shape{2, 5, 9, 160};
  const Tensor x = Picture(shape, GetParam());
  const Tensor scale = RandomTensor({160}, 2);
  const GroupNormArgs args{.x = x,
                           .groups = 8,
                           .scale = scale,
                           .shift = {},
                           .activation = Activation::kGeluTanh,
                           .out = {}};
  ExpectLikeRef(GroupNormTable(), args, shape, GetParam(), [](const auto& all) {
    const cuda::GroupNormRow row(all);
    ASSERT_TRUE(cuda::GroupNormQuads::Accepts(row, 32));
    ASSERT_FALSE(cuda::GroupNormQuads::Accepts(row, 16));
    RunRowsByLanes(2 * 8, 32, cuda::GroupNormQuads(row));
  });
}

TEST(CudaGroupNormStrips, KeepAllMultiprocessorsBusyOrThreads) {
  const cuda::GroupNormStrips large(1, 256 * 256, 160, 132);
  EXPECT_EQ(large.rows, 6);
  EXPECT_EQ(large.Threads(), 256);
  EXPECT_GT(large.count, 4 * 132);
  EXPECT_LE(large.count, 8 * 132);
  const cuda::GroupNormStrips small(1, 32, 640, 132);
  EXPECT_EQ(small.Threads(), 160);
  EXPECT_EQ(small.count, 8);
  const cuda::GroupNormStrips many(1 << 20, 100, 1024, 132);
  EXPECT_EQ(many.count, 1);
  EXPECT_GE(many.pixels, 100);
}

// As many lanes as a head of this size has on a GPU.
int LanesOfHead(int64_t head_dim) {
  int lanes = 4;
  while (lanes * cuda::kHeadQuads * cuda::kQuad < head_dim) lanes *= 2;
  return lanes;
}

TEST_P(CudaQuads, Rope) {
  constexpr int64_t kHeads = 3;
  for (const auto& [head_dim, half] : {std::pair{8, 4}, std::pair{24, 0}, std::pair{40, 20},
                                       std::pair{64, 16}, std::pair{128, 64}, std::pair{256, 8}}) {
    SCOPED_TRACE(head_dim);
    const Shape qkv{2, 5, 3 * kHeads, head_dim};
    Tensor scale = RandomTensor({kHeads}, 2);
    for (int h = 0; h < kHeads; ++h) scale.MutableData<float>()[h] += 10;
    const Tensor cos = RandomTensor({5, kHeads, std::max(half, 1)}, 3);
    const Tensor sin = RandomTensor({5, kHeads, std::max(half, 1)}, 4);
    for (const bool scaled : {false, true}) {
      Tensor want = RandomTensor(qkv, 1, GetParam());
      Tensor got = RandomTensor(qkv, 1, GetParam());
      RopeArgs args{.x = want.mutable_view().Slice(2, 0, 2 * kHeads),  // of queries and keys
                    .scale = scaled ? scale.view() : ConstView(),
                    .cos = half > 0 ? cos.view() : ConstView(),
                    .sin = half > 0 ? sin.view() : ConstView()};
      RunImplementation(RopeTable(), "ref", args);
      args.x = got.mutable_view().Slice(2, 0, 2 * kHeads);
      const cuda::RopeRow row(args);
      ASSERT_TRUE(row.InQuads());
      RunRowsByLanes(row.Rows(), LanesOfHead(head_dim), cuda::RopeQuads(row));
      EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam()));
    }
  }
}

void RunInQuads(const PrepareHeadsArgs& args, int64_t head_dim) {
  const cuda::PrepareHeadsRow row(args);
  ASSERT_TRUE(row.InQuads());
  RunRowsByLanes(row.Rows(), LanesOfHead(head_dim), cuda::PrepareHeadsQuads(row));
}

TEST_P(CudaQuads, PrepareHeads) {
  const DType other = GetParam() == DType::kF32 ? DType::kBF16 : DType::kF32;
  for (const int64_t head_dim : {4, 20, 64, 128, 256}) {
    SCOPED_TRACE(head_dim);
    const HeadsCase heads({2, 5, 3, head_dim}, GetParam(), other);
    heads.ExpectLikeRef([&](const PrepareHeadsArgs& args) { RunInQuads(args, head_dim); });
  }
}

TEST_P(CudaQuads, HeadsAtPositionsWithoutAnglesAreNaN) {
  const Tensor x = RandomTensor({2, 3, 2, 8}, 1, GetParam());
  const Tensor angles = RandomTensor({4, 4}, 2);
  Tensor positions({2, 3}, DType::kI32);
  positions.MutableData<int32_t>()[1] = 4;
  positions.MutableData<int32_t>()[5] = -1;
  Tensor turned({2, 3, 2, 8}, DType::kF32);
  Tensor copied({2, 3, 2, 8}, DType::kF32);
  const std::array<HeadPart, 2> parts = {{{.x = x, .rotate = true, .out = turned.mutable_view()},
                                          {.x = x, .out = copied.mutable_view()}}};
  const PrepareHeadsArgs args{.parts = parts, .cos = angles, .sin = angles, .positions = positions};
  const auto expect = [&] {
    for (int64_t i = 0; i < 2 * 3 * 2 * 8; ++i) {
      const int64_t token = i / (2 * 8);
      EXPECT_EQ(std::isnan(turned.Data<float>()[i]), token == 1 || token == 5) << i;
      EXPECT_FALSE(std::isnan(copied.Data<float>()[i])) << i;
    }
  };
  RunInQuads(args, 8);
  expect();
  std::fill_n(turned.MutableData<float>(), 2 * 3 * 2 * 8, 0.0f);
  const cuda::PrepareHeadsRow row(args);
  RunRows(row.Rows(), row);
  expect();
}

TEST(CudaQuadRows, AreRefusedOfHeadsThatDoNotLieSo) {
  Tensor x({2, 3, 4, 24}, DType::kBF16);
  const Tensor cos({3, 4, 6}, DType::kF32);
  RopeArgs args{.x = x.mutable_view(), .scale = {}, .cos = {}, .sin = {}};
  EXPECT_TRUE(cuda::RopeRow(args).InQuads());
  args.cos = cos;
  args.sin = cos;
  EXPECT_FALSE(cuda::RopeRow(args).InQuads());  // 6 channels turn with 6 others
  args.cos = {};
  args.sin = {};
  args.x.strides[1] += 2;
  EXPECT_FALSE(cuda::RopeRow(args).InQuads());
  Tensor long_heads({1, 1, 1, 264}, DType::kF32);
  args.x = long_heads.mutable_view();
  EXPECT_FALSE(cuda::RopeRow(args).InQuads());
}

TEST(CudaQuadRows, AreCountedIn31Bits) {
  const auto reason = [](int64_t pictures, size_t parts) {
    const ConstView x(nullptr, {pictures, 1024, 16, 64}, DType::kBF16);
    const std::vector<HeadPart> all(parts, {.x = x, .out = View(nullptr, x.shape, x.dtype)});
    return cuda::WhyNotCounted({.parts = all});
  };
  EXPECT_EQ(reason((1 << 17) - 1, 1), std::nullopt);
  EXPECT_EQ(reason(1 << 17, 1), "more than 2^31 - 1 heads");
  EXPECT_EQ(reason(43690, 3), std::nullopt);
  EXPECT_EQ(reason(43691, 3), "more than 2^31 - 1 heads");
}

TEST(CudaQuadRows, AreThoseOfAllPartsOrNone) {
  Tensor x({2, 3, 4, 24}, DType::kBF16);
  std::array<HeadPart, 3> parts;
  parts.fill({.x = x, .out = x.mutable_view()});
  const auto in_quads = [&] { return cuda::PrepareHeadsRow({.parts = parts}).InQuads(); };
  EXPECT_TRUE(in_quads());
  parts[2].x.data = x.Data<BFloat16>() + 2;
  EXPECT_FALSE(in_quads());
  parts[2].x = x;
  parts[1].out.strides[2] += 2;
  EXPECT_FALSE(in_quads());
}

}  // namespace
}  // namespace gesso
