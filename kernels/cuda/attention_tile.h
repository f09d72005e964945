// How attention on tensor cores (device/flash_attention.cuh) is cut into blocks, and which
// arguments it takes. Decided on the host, without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "kernels/cuda/block_limits.h"
#include "kernels/cuda/device/attention_keys.cuh"

namespace gesso::cuda {

constexpr int kMostFlashChannels = 128;
constexpr int kMostFlashWarps = 4;

// Shared memory of a block: its queries, two tiles of keys, two of values, and the keys' places.
// Products: see device/fragments.cuh. width: channels that a row holds, without the padding.
template <class Products>
constexpr size_t FlashSharedBytes(int width, int queries) {
  const size_t rows = static_cast<size_t>(queries) + size_t{4} * Products::kKeys;
  return rows * static_cast<size_t>(width + Products::kPad) * sizeof(typename Products::Element) +
         2 * Products::kKeys * sizeof(Place);
}

struct FlashTile {
  int width;            // channels that the kernel is compiled for: 32, 64 or 128
  int warps;            // of 16 queries each; 0 where no block fits into shared memory
  size_t shared_bytes;  // of a block
};

// Four warps share a tile of keys; fewer where shared memory is short, where half as many hold the
// same task, or where the device would not be busy otherwise. pairs: pictures times heads;
// channels: 8 .. kMostFlashChannels.
template <class Products, class Keys>
FlashTile ChooseFlashTile(const Keys& keys, int64_t pairs, int64_t channels, BlockLimits limits) {
  const int width = channels <= 32 ? 32 : channels <= 64 ? 64 : kMostFlashChannels;
  const auto bytes = [&](int warps) { return FlashSharedBytes<Products>(width, 16 * warps); };
  const auto tasks = [&](int warps) { return keys.Tasks(16 * warps); };
  int warps = kMostFlashWarps;
  while (warps > 1 && (bytes(warps) > limits.shared_bytes || tasks(warps / 2) == tasks(warps) ||
                       tasks(warps) * pairs < limits.multiprocessors)) {
    warps /= 2;
  }
  if (bytes(warps) > limits.shared_bytes) warps = 0;
  return {width, warps, bytes(warps)};
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
