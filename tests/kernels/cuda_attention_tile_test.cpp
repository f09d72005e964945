// How attention on tensor cores is cut into blocks, and which tiles of keys their queries see.
#include "kernels/cuda/attention_tile.h"

#include "kernels/cuda/device/fragments.cuh"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

constexpr cuda::BlockLimits kHopper{227 << 10, 132};

cuda::AllKeys KeysOf(int64_t queries, int64_t keys) {
  AttentionArgs args;
  args.q.shape = {1, queries, 1, 64};
  args.k.shape = {1, keys, 1, 64};
  return cuda::AllKeys(args);
}

cuda::NeighborKeys Neighbors(int64_t rows, int64_t columns, int64_t size) {
  NeighborhoodAttentionArgs args;
  args.q.shape = {1, rows, columns, 1, 64};
  args.kernel_size = size;
  return cuda::NeighborKeys(args);
}

cuda::WindowKeys Windows(int64_t rows, int64_t columns, int64_t window) {
  WindowAttentionArgs args;
  args.q.shape = {1, rows, columns, 1, 64};
  args.window = window;
  return cuda::WindowKeys(args);
}

TEST(FlashTile, HoldsTheChannelsInSharedMemory) {
  const cuda::AllKeys keys = KeysOf(4096, 4096);
  const auto choose = [&]<class Products>(Products, int64_t channels, size_t shared) {
    return cuda::ChooseFlashTile<Products>(keys, 100, channels, {shared, 132});
  };
  // 128 queries and two tiles of 64 keys and values, in rows of 72 numbers of 2 bytes.
  const cuda::FlashTile half = choose(cuda::Bf16Products(), 64, 227 << 10);
  EXPECT_EQ(half.width, 64);
  EXPECT_EQ(half.tiles, 2);
  EXPECT_EQ(half.warps, 4);
  EXPECT_EQ(half.ahead, 1);
  EXPECT_EQ(half.shared_bytes, 80 + 384u * 72 * 2);
  const cuda::FlashTile small = choose(cuda::Bf16Products(), 64, 48 << 10);
  EXPECT_EQ(small.tiles, 1);
  EXPECT_EQ(small.warps, 4);
  EXPECT_EQ(small.shared_bytes, 80 + 320u * 72 * 2);  // 46160: nothing to be asked for
  const cuda::FlashTile floats = choose(cuda::Float32Products(), 72, 227 << 10);
  EXPECT_EQ(floats.width, 128);
  EXPECT_EQ(floats.tiles, 1);
  EXPECT_EQ(floats.warps, 4);
  EXPECT_EQ(floats.shared_bytes, 80 + (64u + 4 * 32) * 132 * 4);
  // 99 KiB, as GPUs of compute capability 8.6 and 8.9 have, and 163 KiB, as 8.0 has.
  EXPECT_EQ(choose(cuda::Float32Products(), 128, 99 << 10).warps, 2);
  EXPECT_EQ(choose(cuda::Bf16Products(), 128, 99 << 10).tiles, 1);
  EXPECT_EQ(choose(cuda::Bf16Products(), 128, 99 << 10).warps, 4);
  EXPECT_EQ(choose(cuda::Bf16Products(), 64, 99 << 10).tiles, 1);  // two blocks of 64 queries
  EXPECT_EQ(choose(cuda::Bf16Products(), 128, 163 << 10).tiles, 2);
  EXPECT_EQ(choose(cuda::Bf16Products(), 128, 48 << 10).warps, 0);
  EXPECT_EQ(choose(cuda::Bf16Products(), 8, 48 << 10).width, 32);
}

TEST(FlashTile, HasNoMoreWarpsThanWork) {
  const auto choose = [](const auto& keys, int64_t pairs) {
    return cuda::ChooseFlashTile<cuda::Bf16Products>(keys, pairs, 64, kHopper);
  };
  const auto expect = [](const cuda::FlashTile& tile, int tiles, int warps, int parts, int ahead) {
    EXPECT_EQ(tile.tiles, tiles);
    EXPECT_EQ(tile.warps, warps);
    EXPECT_EQ(tile.parts, parts);
    EXPECT_EQ(tile.ahead, ahead);
  };
  expect(choose(KeysOf(10, 4096), 1000), 1, 1, 1, 1);
  expect(choose(KeysOf(10, 4096), 100), 1, 2, 2, 3);
  expect(choose(KeysOf(40, 4096), 500), 1, 4, 1, 1);  // 3 warps' worth
  expect(choose(KeysOf(40, 4096), 1000), 2, 2, 1, 1);
  expect(choose(KeysOf(1024, 1024), 4), 1, 2, 2, 3);   // 64 blocks on 132 multiprocessors
  expect(choose(KeysOf(1024, 1024), 9), 1, 4, 1, 3);   // 144 of them
  expect(choose(KeysOf(1024, 1024), 32), 1, 4, 1, 1);  // 512
  expect(choose(KeysOf(1024, 1024), 33), 2, 4, 1, 1);  // 264 of 128 queries
  expect(choose(Windows(64, 64, 4), 1000), 1, 1, 1, 1);
  expect(choose(Windows(64, 64, 8), 4), 1, 4, 1, 3);
  expect(choose(Windows(64, 64, 8), 1000), 2, 2, 1, 1);
  expect(choose(Neighbors(64, 64, 7), 2), 1, 4, 2, 3);
  expect(choose(Neighbors(256, 256, 81), 24), 2, 4, 1, 1);
  EXPECT_EQ(choose(Windows(64, 64, 8), 1000).shared_bytes, 80 + 192u * 72 * 2);  // one tile of keys
  AttentionArgs masked;
  masked.q.shape = {1, 4096, 1, 64};
  masked.k.shape = {1, 4096, 1, 64};
  expect(choose(cuda::ChosenKeys(masked), 1000), 1, 4, 1, 1);
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

struct Seen {
  int64_t some = 0, all = 0;  // steps of keys, of any warp
};

// Sights of all warps, each checked against the pairs of its queries and keys. pair(task, query,
// tile, slot): whether the pair counts.
template <class Keys, class Pair>
Seen CheckSights(const Keys& keys, int a_block, int a_warp, const Pair& pair) {
  constexpr int kTile = 64;
  constexpr int kStep = 32;
  Seen seen;
  for (int i = 0; i < keys.Tasks(a_block); ++i) {
    const cuda::AttentionTask task = keys.Task(i, a_block);
    int64_t tiles = 0;
    for (cuda::KeyTile tile = {0, {task.keys.y, task.keys.x}}; keys.HasTile(task, tile);
         tile = keys.Next(task, tile, kTile)) {
      ++tiles;
      for (int query = 0; query < a_block; query += a_warp) {
        if (!keys.HasQuery(task, query)) continue;
        for (int slot = 0; slot < kTile; slot += kStep) {
          int64_t pairs = 0;
          for (int j = 0; j < a_warp * kStep; ++j) {
            pairs += pair(task, query + j / kStep, tile, slot + j % kStep) ? 1 : 0;
          }
          const cuda::Sight sight =
              keys.SightOf(task, query, query + a_warp - 1, tile, slot, slot + kStep - 1);
          EXPECT_TRUE(sight != cuda::Sight::kNone || pairs == 0);
          EXPECT_TRUE(sight != cuda::Sight::kAll || pairs == a_warp * kStep);
          seen.some += sight == cuda::Sight::kSome ? 1 : 0;
          seen.all += sight == cuda::Sight::kAll ? 1 : 0;
        }
      }
    }
    EXPECT_LE(tiles, keys.MostTiles(a_block, kTile));
  }
  return seen;
}

TEST(FlashSight, OfNeighborhoods) {
  const auto check = [](const cuda::NeighborKeys& keys, int a_block, int a_warp) {
    return CheckSights(
        keys, a_block, a_warp, [&](const auto& task, int query, const auto& tile, int slot) {
          return keys.Sees(keys.FirstKey(keys.QueryAt(task, query)), tile, slot / 8, slot % 8);
        });
  };
  for (const int a_warp : {16, 32}) {
    for (const int warps : {1, 2, 4}) {
      check(Neighbors(7, 7, 7), a_warp * warps, a_warp);
      check(Neighbors(17, 29, 5), a_warp * warps, a_warp);
      const Seen wide = check(Neighbors(40, 41, 31), a_warp * warps, a_warp);
      EXPECT_GT(wide.all, wide.some);
    }
  }
  // Of the work that 81 x 81 neighbors make, little is left out of what a warp takes whole.
  const Seen flux = check(Neighbors(128, 128, 81), 128, 32);
  EXPECT_GT(flux.all, 3 * flux.some);
}

TEST(FlashSight, OfSequencesAndWindows) {
  const auto check = [](const auto& keys, int a_block, int a_warp) {
    return CheckSights(keys, a_block, a_warp,
                       [&](const auto& task, int, const auto& tile, int slot) {
                         return keys.HasKey(task, 0, tile, slot);
                       });
  };
  const Seen sequence = check(KeysOf(70, 130), 64, 16);
  EXPECT_EQ(sequence.all, 5 * 4);  // warps with queries, steps
  EXPECT_EQ(sequence.some, 5);
  check(Windows(20, 30, 7), 32, 16);
  check(Windows(16, 16, 8), 64, 32);
  EXPECT_EQ(check(KeysOf(16, 20), 16, 16).all, 0);
}

}  // namespace
}  // namespace gesso
