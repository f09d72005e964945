// Attention on tensor cores against ref, with the threads of its blocks emulated on the CPU: tiles,
// layouts of fragments, masks, borders, softmax and copies are those of the GPU.
#include "kernels/cuda/device/flash_attention.cuh"
#include "tests/support/cuda_threads.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

template <class Keys, class Products, int kWidth, class Args>
void RunBlocks(const Args& args, int warps, Arrival arrival) {
  const cuda::AttentionBlock<Keys, Products, kWidth> body(args, warps);
  // NaN everywhere, so that nothing is read before it was copied.
  struct alignas(16) Chunk {
    unsigned char bytes[16];
  };
  std::vector<Chunk> shared(cuda::FlashSharedBytes<Products>(kWidth, 16 * warps) / sizeof(Chunk));
  for (int64_t block = 0; block < body.Blocks(); ++block) {
    std::memset(shared.data(), 0xff, shared.size() * sizeof(Chunk));
    CudaThreads threads(warps, arrival);
    body(block, threads, shared.data());
  }
}

template <class Keys, int kWidth, class Args>
void ExpectLikeRef(const OpTable<Args>& table, Args args, DType dtype) {
  Tensor want(args.q.shape, dtype);
  args.out = want.mutable_view();
  RunImplementation(table, "ref", args);
  const auto run = [&](int warps, Arrival arrival) {
    Tensor got = RandomTensor(args.q.shape, 99, dtype);
    args.out = got.mutable_view();
    if (dtype == DType::kBF16) {
      RunBlocks<Keys, cuda::Bf16Products, kWidth>(args, warps, arrival);
    } else {
      RunBlocks<Keys, cuda::Float32Products, kWidth>(args, warps, arrival);
    }
    EXPECT_LT(RmsError(got, want), ToleranceOf(dtype)) << warps << " warps";
  };
  run(1, Arrival::kEarly);
  run(2, Arrival::kLate);
  run(4, Arrival::kEarly);
}

template <class Keys, class Args>
void ExpectLikeRefAtAnyWidth(const OpTable<Args>& table, const Args& args, DType dtype) {
  const int64_t channels = args.q.shape[-1];
  if (channels <= 32) return ExpectLikeRef<Keys, 32>(table, args, dtype);
  if (channels <= 64) return ExpectLikeRef<Keys, 64>(table, args, dtype);
  ExpectLikeRef<Keys, 128>(table, args, dtype);
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
        SequenceCase{1, 40, 65, 2, 40, false, false}}) {
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
    ExpectLikeRefAtAnyWidth<cuda::AllKeys>(AttentionTable(), args, GetParam());
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
        GridCase{17, 13, 64, 7, 0}, GridCase{13, 15, 40, 13, 0}, GridCase{9, 11, 128, 9, 0}}) {
    SCOPED_TRACE(c.channels);
    const Tensor qkv = RandomTensor({1, c.rows, c.columns, 6, c.channels}, 1, GetParam(), 1.5f);
    auto args = GridArgs<NeighborhoodAttentionArgs>(qkv, 2);
    args.kernel_size = c.size;
    ExpectLikeRefAtAnyWidth<cuda::NeighborKeys>(NeighborhoodAttentionTable(), args, GetParam());
  }
}

TEST_P(CudaFlash, Windows) {
  for (const GridCase& c :
       {GridCase{8, 16, 64, 8, 0}, GridCase{16, 9, 16, 8, 4}, GridCase{5, 7, 32, 4, 3},
        GridCase{3, 2, 16, 10, 5}, GridCase{20, 14, 72, 14, 7}, GridCase{9, 9, 128, 4, 2}}) {
    SCOPED_TRACE(c.channels);
    const Tensor qkv = RandomTensor({1, c.rows, c.columns, 6, c.channels}, 1, GetParam(), 1.5f);
    auto args = GridArgs<WindowAttentionArgs>(qkv, 2);
    args.window = c.size;
    args.shift = c.shift;
    ExpectLikeRefAtAnyWidth<cuda::WindowKeys>(WindowAttentionTable(), args, GetParam());
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
  RunBlocks<cuda::AllKeys, cuda::Float32Products, 32>(args, 1, Arrival::kLate);
  EXPECT_LT(RmsError(got, want), 2e-6);
}

// Whatever the bits of a NaN: rounding to fewer of them could carry into the sign.
TEST_P(CudaFlash, NanIsNotHidden) {
  for (const uint32_t bits : {0x7fffffffu, 0xffffffffu, 0x7f800001u, 0x7fc00000u}) {
    for (const int place : {0, 1, 2}) {  // q, k, v
      SCOPED_TRACE(fmt::format("{:x} in {}", bits, "qkv"[place]));
      std::array<Tensor, 3> qkv;
      for (int i = 0; i < 3; ++i) {
        Tensor floats = RandomTensor({1, i == 0 ? 3 : 20, 1, 16}, i + 1);
        if (i == place) floats.MutableData<float>()[16] = cuda::BitsToFloat(bits);
        qkv[static_cast<size_t>(i)] = Cast(floats, GetParam());
      }
      Tensor out({1, 3, 1, 16}, GetParam());
      const AttentionArgs args{qkv[0], qkv[1], qkv[2], {}, {}, 1, out.mutable_view()};
      if (GetParam() == DType::kBF16) {
        RunBlocks<cuda::AllKeys, cuda::Bf16Products, 32>(args, 1, Arrival::kLate);
      } else {
        RunBlocks<cuda::AllKeys, cuda::Float32Products, 32>(args, 1, Arrival::kLate);
      }
      const Tensor result = Cast(out, DType::kF32);
      for (int i = 0; i < 48; ++i) {  // a query; all of them; a channel of all
        const bool want = place == 0 ? i / 16 == 1 : place == 1 || i % 16 == 0;
        EXPECT_EQ(std::isnan(result.Data<float>()[i]), want) << i;
      }
    }
  }
}

constexpr cuda::BlockLimits kHopper{227 << 10, 132};

cuda::AllKeys KeysOf(int64_t queries, int64_t keys) {
  AttentionArgs args;
  args.q.shape = {1, queries, 1, 64};
  args.k.shape = {1, keys, 1, 64};
  return cuda::AllKeys(args);
}

TEST(FlashTile, HoldsTheChannelsInSharedMemory) {
  const cuda::AllKeys keys = KeysOf(4096, 4096);
  const auto choose = [&]<class Products>(Products, int64_t channels, size_t shared) {
    return cuda::ChooseFlashTile<Products>(keys, 100, channels, {shared, 132});
  };
  // (64 queries + 4 x 64 keys) rows of 72 numbers of 2 bytes, and 128 places.
  const cuda::FlashTile half = choose(cuda::Bf16Products(), 64, 48 << 10);
  EXPECT_EQ(half.width, 64);
  EXPECT_EQ(half.warps, 4);
  EXPECT_EQ(half.shared_bytes, 320u * 72 * 2 + 128 * 8);  // 47104: nothing to be asked for
  const cuda::FlashTile floats = choose(cuda::Float32Products(), 72, 227 << 10);
  EXPECT_EQ(floats.width, 128);
  EXPECT_EQ(floats.warps, 4);
  EXPECT_EQ(floats.shared_bytes, (64u + 4 * 32) * 132 * 4 + 64 * 8);
  // 99 KiB, as GPUs of compute capability 8.6 and 8.9 have.
  EXPECT_EQ(choose(cuda::Float32Products(), 128, 99 << 10).warps, 2);
  EXPECT_EQ(choose(cuda::Bf16Products(), 128, 99 << 10).warps, 4);
  EXPECT_EQ(choose(cuda::Bf16Products(), 128, 48 << 10).warps, 0);
  EXPECT_EQ(choose(cuda::Bf16Products(), 8, 48 << 10).width, 32);
}

TEST(FlashTile, HasNoMoreWarpsThanWork) {
  const auto warps = [](const auto& keys, int64_t pairs) {
    return cuda::ChooseFlashTile<cuda::Bf16Products>(keys, pairs, 64, kHopper).warps;
  };
  EXPECT_EQ(warps(KeysOf(10, 4096), 1000), 1);
  EXPECT_EQ(warps(KeysOf(40, 4096), 1000), 4);  // 3 warps' worth
  EXPECT_EQ(warps(KeysOf(1024, 1024), 4), 1);   // 64 tasks on 132 multiprocessors
  EXPECT_EQ(warps(KeysOf(1024, 1024), 9), 4);
  WindowAttentionArgs windows;
  windows.q.shape = {1, 64, 64, 1, 64};
  windows.window = 4;
  EXPECT_EQ(warps(cuda::WindowKeys(windows), 1000), 1);
  windows.window = 8;
  EXPECT_EQ(warps(cuda::WindowKeys(windows), 1000), 4);
}

TEST(FlashTile, RefusesWhatCannotBeCopied) {
  const Tensor wide = RandomTensor({2, 3, 2, 136}, 1, DType::kBF16);
  const ConstView all = wide;
  const auto reason = [](ConstView view) {
    return cuda::WhyNotFlash(view, view, view).value_or("");
  };
  EXPECT_EQ(reason(all.Slice(3, 0, 64)), "");
  EXPECT_EQ(reason(all.Slice(3, 8, 72)), "");
  EXPECT_EQ(reason(all.Slice(3, 4, 68)), "heads do not begin at multiples of 16 bytes");
  EXPECT_EQ(reason(all.Slice(3, 0, 60)), "heads whose channels are no multiple of 8");
  EXPECT_EQ(reason(all), "heads of more than 128 channels");
  const Tensor odd = RandomTensor({1, 3, 2, 12}, 1);  // heads lie 48 bytes apart
  EXPECT_EQ(reason(odd.view().Slice(3, 0, 8)), "");
  const Tensor half = RandomTensor({1, 3, 2, 12}, 1, DType::kBF16);
  EXPECT_EQ(reason(half.view().Slice(3, 0, 8)), "heads do not begin at multiples of 16 bytes");
  EXPECT_EQ(cuda::WhyNotFlash(odd.view().Slice(3, 0, 8), all.Slice(1, 0, 0), all).value_or(""),
            "no keys");
}

}  // namespace
}  // namespace gesso
