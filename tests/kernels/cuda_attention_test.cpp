// Attention on tensor cores against ref, with the threads of its blocks emulated on the CPU: tiles,
// layouts of fragments, masks, borders, softmax and copies are those of the GPU.
#include "kernels/cuda/device/flash_attention.cuh"
#include "tests/support/cuda_threads.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// tile: of which the shared memory is worked out here.
template <class Keys, class Products, int kWidth, int kTiles, class Args>
void RunBlocks(const Args& args, cuda::FlashTile tile, Arrival arrival) {
  const cuda::AttentionBlock<Keys, Products, kWidth, kTiles> body(args, tile);
  const int64_t tiles =
      std::min<int64_t>(Keys(args).MostTiles(body.a_block, Products::kKeys), tile.ahead + 1);
  struct alignas(16) Chunk {
    unsigned char bytes[16];
  };
  std::vector<Chunk> shared(
      cuda::FlashSharedBytes<Products>(kWidth, body.a_block, static_cast<int>(tiles)) /
      sizeof(Chunk));
  for (int64_t block = 0; block < body.Blocks(); ++block) {
    // NaN everywhere, so that nothing is read before it was copied.
    std::memset(shared.data(), 0xff, shared.size() * sizeof(Chunk));
    CudaThreads threads(tile.warps, arrival);
    body(block, threads, shared.data());
  }
}

// One tile of queries a warp, and one of keys ahead.
constexpr cuda::FlashTile kOneWarp{.warps = 1};

template <class Keys, class Products, int kWidth, class Args>
void ExpectLikeRef(const OpTable<Args>& table, Args args) {
  constexpr bool kRounds = std::is_same_v<Products, cuda::RoundedProducts>;
  const DType dtype = args.q.dtype;
  Tensor want(args.q.shape, dtype);
  args.out = want.mutable_view();
  RunImplementation(table, "ref", args);
  std::vector<std::byte> first;  // result
  const auto run = [&](const cuda::FlashTile& tile, Arrival arrival) {
    SCOPED_TRACE(fmt::format("{} tiles, {} warps, {} parts, {} ahead", tile.tiles, tile.warps,
                             tile.parts, tile.ahead));
    Tensor got = RandomTensor(args.q.shape, 99, dtype);
    args.out = got.mutable_view();
    if (tile.tiles == 1) {
      RunBlocks<Keys, Products, kWidth, 1>(args, tile, arrival);
    } else if constexpr (cuda::HasTwoTiles<Keys, Products>(kWidth)) {
      RunBlocks<Keys, Products, kWidth, 2>(args, tile, arrival);
    }
    EXPECT_LT(RmsError(got, want), kRounds ? 2e-3 : ToleranceOf(dtype));
    // A query's result depends on the order of its keys alone, which is a block's only where a
    // neighborhood's is; not on how early copies arrive, how many are on their way, or others.
    const bool own_order = std::is_same_v<Keys, cuda::NeighborKeys> && tile.tiles * tile.warps > 1;
    if (own_order || tile.parts != 1) return;
    const auto* bytes = static_cast<const std::byte*>(got.view().data);
    const std::vector<std::byte> result(bytes, bytes + got.view().bytes());
    if (first.empty()) first = result;
    EXPECT_EQ(result, first);
  };
  run(kOneWarp, Arrival::kEarly);
  run({.warps = 1, .ahead = 3}, Arrival::kLate);
  run({.warps = 2}, Arrival::kLate);
  run({.warps = 4, .ahead = 3}, Arrival::kEarly);
  if (Products::kKeys > Products::kStep) {
    run({.warps = 2, .parts = 2, .ahead = 3}, Arrival::kEarly);
    run({.warps = 4, .parts = 2}, Arrival::kLate);
  }
  if (cuda::HasTwoTiles<Keys, Products>(kWidth)) {
    run({.tiles = 2, .warps = 1}, Arrival::kLate);
    run({.tiles = 2, .warps = 2}, Arrival::kEarly);
    run({.tiles = 2, .warps = 4}, Arrival::kLate);
  }
}

template <class Keys, class Products, class Args>
void ExpectLikeRefAtAnyWidth(const OpTable<Args>& table, const Args& args) {
  const int64_t channels = args.q.shape[-1];
  if (channels <= 32) return ExpectLikeRef<Keys, Products, 32>(table, args);
  if (channels <= 64) return ExpectLikeRef<Keys, Products, 64>(table, args);
  ExpectLikeRef<Keys, Products, 128>(table, args);
}

template <class Keys, class Args>
void ExpectLikeRef(const OpTable<Args>& table, const Args& args) {
  if (args.q.dtype == DType::kBF16) {
    return ExpectLikeRefAtAnyWidth<Keys, cuda::Bf16Products>(table, args);
  }
  ExpectLikeRefAtAnyWidth<Keys, cuda::Float32Products>(table, args);
  ExpectLikeRefAtAnyWidth<Keys, cuda::RoundedProducts>(table, args);
}

struct SequenceCase {
  int64_t batch, queries, keys, heads, channels;
  bool bias, mask;
};

class CudaFlash : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaFlash, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

TEST_P(CudaFlash, Sequences) {
  for (const SequenceCase& c :
       {SequenceCase{1, 1, 1, 1, 16, false, false}, SequenceCase{2, 70, 33, 2, 16, true, true},
        SequenceCase{1, 64, 64, 1, 32, false, false}, SequenceCase{2, 17, 131, 3, 64, true, true},
        SequenceCase{1, 65, 200, 1, 72, true, false}, SequenceCase{3, 9, 97, 1, 128, false, true},
        SequenceCase{1, 40, 65, 2, 40, false, false},
        SequenceCase{1, 130, 257, 1, 64, false, false},
        SequenceCase{1, 33, 320, 1, 128, false, false}, SequenceCase{2, 30, 140, 1, 24, true, true},
        SequenceCase{1, 100, 70, 1, 96, false, false}}) {
    SCOPED_TRACE(c.channels);
    const Tensor q = RandomTensor({c.batch, c.queries, c.heads, c.channels}, 1, GetParam(), 2);
    const Tensor kv = RandomTensor({c.batch, c.keys, 2 * c.heads, c.channels}, 2, GetParam(), 2);
    const Tensor bias = RandomTensor({c.heads, c.queries, c.keys}, 3);
    Tensor mask({c.batch, c.keys}, DType::kI32);
    for (int64_t b = 0; b + 1 < c.batch; ++b) {  // of the last picture nothing is left
      for (int64_t i = 0; i < c.keys; ++i) {
        mask.MutableData<int32_t>()[b * c.keys + i] = i % 3 == b ? 0 : -1;
      }
    }
    AttentionArgs args;
    args.q = q;
    args.k = kv.view().Slice(2, 0, c.heads);
    args.v = kv.view().Slice(2, c.heads, 2 * c.heads);
    if (c.bias) args.bias = bias;
    if (c.mask) args.key_mask = mask;
    args.scale = 1 / std::sqrt(static_cast<float>(c.channels));
    ExpectLikeRef<cuda::ChosenKeys>(AttentionTable(), args);
    if (!c.bias && !c.mask) ExpectLikeRef<cuda::AllKeys>(AttentionTable(), args);
  }
}

struct GridCase {
  int64_t rows, columns, channels, size, shift;
};

template <class Args>
Args GridArgs(const Tensor& qkv, int64_t heads) {
  Args args;
  args.q = qkv.view().Slice(3, 0, heads);
  args.k = qkv.view().Slice(3, heads, 2 * heads);
  args.v = qkv.view().Slice(3, 2 * heads, 3 * heads);
  args.scale = 1 / std::sqrt(static_cast<float>(args.q.shape[4]));
  return args;
}

TEST_P(CudaFlash, Neighborhoods) {
  for (const GridCase& c :
       {GridCase{1, 1, 16, 1, 0}, GridCase{7, 7, 32, 7, 0}, GridCase{17, 9, 16, 3, 0},
        GridCase{17, 13, 64, 7, 0}, GridCase{13, 15, 40, 13, 0}, GridCase{9, 11, 128, 9, 0},
        GridCase{25, 30, 16, 21, 0}, GridCase{15, 23, 72, 15, 0}, GridCase{4, 40, 16, 3, 0}}) {
    SCOPED_TRACE(c.channels);
    const Tensor qkv = RandomTensor({1, c.rows, c.columns, 6, c.channels}, 1, GetParam(), 1.5f);
    auto args = GridArgs<NeighborhoodAttentionArgs>(qkv, 2);
    args.kernel_size = c.size;
    ExpectLikeRef<cuda::NeighborKeys>(NeighborhoodAttentionTable(), args);
  }
}

TEST_P(CudaFlash, Windows) {
  for (const GridCase& c :
       {GridCase{8, 16, 64, 8, 0}, GridCase{16, 9, 16, 8, 4}, GridCase{5, 7, 32, 4, 3},
        GridCase{3, 2, 16, 10, 5}, GridCase{20, 14, 72, 14, 7}, GridCase{9, 9, 128, 4, 2},
        GridCase{17, 19, 32, 17, 0}, GridCase{13, 20, 64, 12, 6}}) {
    SCOPED_TRACE(c.channels);
    const Tensor qkv = RandomTensor({1, c.rows, c.columns, 6, c.channels}, 1, GetParam(), 1.5f);
    auto args = GridArgs<WindowAttentionArgs>(qkv, 2);
    args.window = c.size;
    args.shift = c.shift;
    ExpectLikeRef<cuda::WindowKeys>(WindowAttentionTable(), args);
  }
}

// Tensor cores cut sums off: over thousands of keys of one sign an error would add up.
TEST(CudaFlashFloat32, LosesNothingOverManyKeys) {
  const Tensor q = RandomTensor({1, 16, 1, 32}, 1, DType::kF32, 0.1f);
  const Tensor k = RandomTensor({1, 4000, 1, 32}, 2);
  Tensor v({1, 4000, 1, 32}, DType::kF32);
  for (int i = 0; i < 4000 * 32; ++i) {
    v.MutableData<float>()[i] = 1 + static_cast<float>(i % 7) / 9;
  }
  Tensor want({1, 16, 1, 32}, DType::kF32);
  Tensor got({1, 16, 1, 32}, DType::kF32);
  AttentionArgs args{q, k, v, {}, {}, 1, want.mutable_view()};
  RunImplementation(AttentionTable(), "ref", args);
  args.out = got.mutable_view();
  RunBlocks<cuda::AllKeys, cuda::Float32Products, 32, 1>(args, kOneWarp, Arrival::kLate);
  EXPECT_LT(RmsError(got, want), 2e-6);
}

template <class Products>
void ExpectNanIsNotHidden(DType dtype) {
  for (const uint32_t bits : {0x7fffffffu, 0xffffffffu, 0x7f800001u, 0x7fc00000u}) {
    for (const int place : {0, 1, 2}) {  // q, k, v
      SCOPED_TRACE(fmt::format("{:x} in {}", bits, "qkv"[place]));
      std::array<Tensor, 3> qkv;
      for (int i = 0; i < 3; ++i) {
        Tensor floats = RandomTensor({1, i == 0 ? 3 : 20, 1, 16}, i + 1);
        if (i == place) floats.MutableData<float>()[16] = cuda::BitsToFloat(bits);
        qkv[static_cast<size_t>(i)] = Cast(floats, dtype);
      }
      Tensor out({1, 3, 1, 16}, dtype);
      const AttentionArgs args{qkv[0], qkv[1], qkv[2], {}, {}, 1, out.mutable_view()};
      RunBlocks<cuda::AllKeys, Products, 32, 1>(args, kOneWarp, Arrival::kLate);
      const Tensor result = Cast(out, DType::kF32);
      for (int i = 0; i < 48; ++i) {  // a query; all of them; a channel of all
        const bool want = place == 0 ? i / 16 == 1 : place == 1 || i % 16 == 0;
        EXPECT_EQ(std::isnan(result.Data<float>()[i]), want) << i;
      }
    }
  }
}

// Whatever the bits of a NaN: rounding to fewer of them could carry into the sign.
TEST_P(CudaFlash, NanIsNotHidden) {
  if (GetParam() == DType::kBF16) return ExpectNanIsNotHidden<cuda::Bf16Products>(GetParam());
  ExpectNanIsNotHidden<cuda::Float32Products>(GetParam());
  ExpectNanIsNotHidden<cuda::RoundedProducts>(GetParam());
}

// Scores that grow by more than 2^8 from tile to tile, or fall, or stay: some rows of a warp move
// what is subtracted from their scores while others do not.
TEST_P(CudaFlash, PeaksMove) {
  constexpr int kQueries = 40;
  constexpr int kKeys = 300;
  Tensor q({1, kQueries, 1, 32}, DType::kF32);
  Tensor k = RandomTensor({1, kKeys, 1, 32}, 2, DType::kF32, 0.1f);
  for (int i = 0; i < kQueries; ++i) q.MutableData<float>()[i * 32] = static_cast<float>(i % 3 - 1);
  for (int j = 0; j < kKeys; ++j) k.MutableData<float>()[j * 32] = static_cast<float>(j / 32 * 8);
  const Tensor v = RandomTensor({1, kKeys, 1, 32}, 3, GetParam());
  const Tensor queries = Cast(q, GetParam());
  const Tensor keys = Cast(k, GetParam());
  for (const float scale : {1.0f, -1.0f, 0.0f}) {
    SCOPED_TRACE(scale);
    ExpectLikeRef<cuda::AllKeys>(AttentionTable(),
                                 AttentionArgs{queries, keys, v, {}, {}, scale, {}});
  }
}

// Keys that a bias hides: the first ones, so that a query has seen none for a while.
TEST_P(CudaFlash, BiasHidesKeys) {
  const Tensor q = RandomTensor({1, 20, 1, 64}, 1, GetParam());
  const Tensor kv = RandomTensor({1, 150, 2, 64}, 2, GetParam());
  Tensor bias = RandomTensor({1, 20, 150}, 3);
  for (int i = 0; i < 20 * 150; ++i) {
    const int query = i / 150;
    const int key = i % 150;
    float& value = bias.MutableData<float>()[i];
    if (key < query * 7) value = -INFINITY;
    if (query == 3) value = -2e38f;  // as low as nothing, but a number
  }
  AttentionArgs args{q, kv.view().Slice(2, 0, 1), kv.view().Slice(2, 1, 2), bias, {}, 0.125f, {}};
  ExpectLikeRef<cuda::ChosenKeys>(AttentionTable(), args);
}

// A place that holds no pairs of numbers at once.
TEST_P(CudaFlash, StoresAnywhere) {
  const Tensor q = RandomTensor({1, 17, 2, 24}, 1, GetParam());
  const Tensor kv = RandomTensor({1, 40, 4, 24}, 2, GetParam());
  AttentionArgs args{q, kv.view().Slice(2, 0, 2), kv.view().Slice(2, 2, 4), {}, {}, 0.2f, {}};
  Tensor want(q.shape(), GetParam());
  args.out = want.mutable_view();
  RunImplementation(AttentionTable(), "ref", args);
  Tensor memory({q.shape().numel() + 1}, GetParam());
  void* const second = static_cast<std::byte*>(memory.mutable_view().data) + SizeOf(GetParam());
  args.out = View(second, q.shape(), GetParam());
  if (GetParam() == DType::kBF16) {
    RunBlocks<cuda::AllKeys, cuda::Bf16Products, 32, 1>(args, kOneWarp, Arrival::kLate);
  } else {
    RunBlocks<cuda::AllKeys, cuda::Float32Products, 32, 1>(args, kOneWarp, Arrival::kLate);
  }
  EXPECT_LT(RmsError(args.out, want), ToleranceOf(GetParam()));
}

// A NaN in a key reaches the queries that see it, and those alone.
TEST_P(CudaFlash, NanStaysWhereItIsSeen) {
  constexpr int kRows = 21;
  constexpr int kColumns = 19;
  constexpr int kSize = 13;
  for (const int hidden : {0, kColumns * 8 + 9, kRows * kColumns - 1}) {
    SCOPED_TRACE(hidden);
    Tensor floats = RandomTensor({1, kRows, kColumns, 3, 16}, 1);
    floats.MutableData<float>()[hidden * 48 + 16] = NAN;
    const Tensor qkv = Cast(floats, GetParam());
    auto args = GridArgs<NeighborhoodAttentionArgs>(qkv, 1);
    args.kernel_size = kSize;
    Tensor out(args.q.shape, GetParam());
    args.out = out.mutable_view();
    if (GetParam() == DType::kBF16) {
      RunBlocks<cuda::NeighborKeys, cuda::Bf16Products, 32, 2>(args, {.tiles = 2, .warps = 4},
                                                               Arrival::kLate);
    } else {
      RunBlocks<cuda::NeighborKeys, cuda::Float32Products, 32, 2>(args, {.tiles = 2, .warps = 2},
                                                                  Arrival::kLate);
    }
    const cuda::NeighborKeys keys(args);
    const Tensor result = Cast(out, DType::kF32);
    for (int query = 0; query < kRows * kColumns; ++query) {
      const cuda::Place first = keys.FirstKey({query / kColumns, query % kColumns});
      const int y = hidden / kColumns - first.y;
      const int x = hidden % kColumns - first.x;
      const bool sees = y >= 0 && y < kSize && x >= 0 && x < kSize;
      EXPECT_EQ(std::isnan(result.Data<float>()[query * 16]), sees) << query;
    }
  }
}

TEST_P(CudaFlash, MaskedNanIsNotThere) {
  const Tensor q = RandomTensor({1, 20, 1, 32}, 1, GetParam());
  Tensor floats = RandomTensor({1, 100, 2, 32}, 2);
  Tensor mask({1, 100}, DType::kI32);
  for (int i = 0; i < 100; ++i) mask.MutableData<int32_t>()[i] = i % 7;
  for (int i = 0; i < 64; ++i) floats.MutableData<float>()[70 * 64 + i] = NAN;
  const Tensor kv = Cast(floats, GetParam());
  ExpectLikeRef<cuda::ChosenKeys>(
      AttentionTable(),
      AttentionArgs{q, kv.view().Slice(2, 0, 1), kv.view().Slice(2, 1, 2), {}, mask, 0.2f, {}});
}

}  // namespace
}  // namespace gesso
