// How rows in quads (device/quads.cuh) are shared out among lanes.
#pragma once

#include "kernels/cuda/block_launch.cuh"
#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/quads.cuh"

namespace gesso::cuda {

// Calls launch.operator()<Lanes, kQuads>() with lanes of which kQuads each hold a row of `size`
// numbers, kMostInQuads at most: as few lanes as have 16 bytes or more of bfloat16 to read at once.
template <class Launch>
void ShareOutRows(int64_t rows, int64_t size, const Launch& launch) {
  if (size <= 64) return launch.template operator()<LanesOfWarp<8>, 2>();
  if (size <= 128) return launch.template operator()<LanesOfWarp<16>, 2>();
  if (size <= 256) return launch.template operator()<WarpLanes, 2>();
  if (size <= 512) return launch.template operator()<WarpLanes, 4>();
  // Of few rows all run at once: then the more lanes, the sooner each is done.
  const bool few = rows <= int64_t{2} * Limits().multiprocessors;
  if (size <= 1024 && !few) return launch.template operator()<WarpLanes, 8>();
  if (size <= 2048) return launch.template operator()<BlockLanes, 2>();
  if (size <= 4096) return launch.template operator()<BlockLanes, 4>();
  static_assert(kMostInQuads <= BlockLanes::kCount * 8 * kQuad);
  launch.template operator()<BlockLanes, 8>();
}

}  // namespace gesso::cuda
