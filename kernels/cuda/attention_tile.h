// How attention on tensor cores (device/flash_attention.cuh) is cut into blocks, and which
// arguments it takes. Decided on the host, without a GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <type_traits>

#include "kernels/cuda/block_limits.h"
#include "kernels/cuda/device/attention_keys.cuh"

namespace gesso::cuda {

constexpr int kMostFlashChannels = 128;
constexpr int kMostFlashWarps = 4;
constexpr int kFlashWorkBytes = 80;  // of a block's description of what it has to do

// Shared memory of a block: what it has to do, its queries, and tiles of keys and of values.
// Products: see device/fragments.cuh. width: channels that a row holds, without the padding.
template <class Products>
constexpr size_t FlashSharedBytes(int width, int queries, int tiles) {
  const int rows = queries + 2 * tiles * Products::kKeys;
  return kFlashWorkBytes + static_cast<size_t>(rows) * static_cast<size_t>(width + Products::kPad) *
                               sizeof(typename Products::Element);
}

// Whether a warp's registers hold the sums of 32 queries beside what finding their keys takes.
template <class Keys, class Products>
constexpr bool HasTwoTiles(int width) {
  return !std::is_same_v<Keys, ChosenKeys> &&
         static_cast<size_t>(width) * sizeof(typename Products::Element) <= 256;
}

struct FlashTile {
  int width = 0;            // channels that the kernel is compiled for: 32, 64 or 128
  int tiles = 1;            // of 16 queries, a warp: 1 or 2
  int warps = 0;            // 0 where no block fits into shared memory
  int parts = 1;            // warps that share queries, and the keys between them: 1 or 2
  int ahead = 1;            // tiles of keys on their way while one is worked at: 1 or 3
  size_t shared_bytes = 0;  // of a block
};

// As many queries share tiles of keys as a task has and shared memory holds: up to 128 where warps
// of 32 keep the device busy, and more queries are so at work at once; else up to 64 while there is
// a block for every multiprocessor. Two warps share queries, and halve the keys, where schedulers
// would have no warp. Three tiles of keys are on their way where all blocks run at once: they wait
// for memory then rather than for arithmetic. pairs: pictures times heads; channels: 8 ..
// kMostFlashChannels.
template <class Products, class Keys>
FlashTile ChooseFlashTile(const Keys& keys, int64_t pairs, int64_t channels, BlockLimits limits) {
  constexpr int kSchedulers = 4;  // of a multiprocessor
  const int width = channels <= 32 ? 32 : channels <= 64 ? 64 : kMostFlashChannels;
  const auto bytes = [&](int queries, int ahead) {
    const int64_t tiles = keys.MostTiles(queries, Products::kKeys);
    return FlashSharedBytes<Products>(width, queries,
                                      static_cast<int>(std::min<int64_t>(tiles, ahead + 1)));
  };
  const auto fitting = [&](int queries) { return limits.shared_bytes / bytes(queries, 1); };
  const auto blocks = [&](int queries) { return keys.Tasks(queries) * pairs; };
  constexpr int kMost = 16 * kMostFlashWarps;  // of one tile a warp
  int queries = 2 * kMost;
  while (queries > 16 && blocks(queries / 2) == blocks(queries)) queries /= 2;
  const int warps = queries / 32;
  if (HasTwoTiles<Keys, Products>(width) && fitting(queries) > 0 &&
      (queries <= kMost || 2 * fitting(queries) > fitting(kMost)) &&
      blocks(queries) * warps >= 2 * kSchedulers * limits.multiprocessors) {
    return {width, 2, warps, 1, 1, bytes(queries, 1)};
  }
  queries = std::min(queries, kMost);
  while (queries > 16 && (fitting(queries) == 0 || blocks(queries) < limits.multiprocessors)) {
    queries /= 2;
  }
  const auto at_once = static_cast<size_t>(CeilDiv(blocks(queries), limits.multiprocessors));
  const int ahead = at_once * bytes(queries, 3) <= limits.shared_bytes ? 3 : 1;
  const int alone = fitting(queries) > 0 ? queries / 16 : 0;
  const bool idle = blocks(queries) * alone < kSchedulers * limits.multiprocessors;
  const int parts =
      idle && 2 * alone <= kMostFlashWarps && Products::kKeys > Products::kStep ? 2 : 1;
  return {width, 1, alone * parts, parts, ahead, bytes(queries, ahead)};
}

// Why rows cannot be copied 16 bytes at a time, or not be held; q, k and v end in [H, D].
inline std::optional<std::string_view> WhyNotFlash(ConstView q, ConstView k, ConstView v) {
  const int64_t channels = q.shape[-1];
  if (channels % 8 != 0) return "heads whose channels are no multiple of 8";
  if (channels > kMostFlashChannels) return "heads of more than 128 channels";
  if (k.numel() == 0) return "no keys";
  for (const ConstView& view : {q, k, v}) {
    auto bits = reinterpret_cast<uintptr_t>(view.data);
    for (int axis = 0; axis + 1 < view.shape.rank(); ++axis) {
      if (view.shape[axis] == 1) continue;
      bits |= static_cast<uintptr_t>(view.strides[static_cast<size_t>(axis)]) * SizeOf(view.dtype);
    }
    if (bits % 16 != 0) return "heads do not begin at multiples of 16 bytes";
  }
  return std::nullopt;
}

}  // namespace gesso::cuda
