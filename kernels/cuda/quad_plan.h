// How rows in quads (device/quads.cuh) are shared out among lanes. Decided on the host, without a
// GPU.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/quads.cuh"

namespace gesso::cuda {

constexpr int kQuadBlock = 256;  // lanes of a block that has a row; others are a warp's

// Calls run.operator()<kLanes, kQuads>() with the lanes that have one of `rows` rows of `size`
// numbers, kMostInQuads at most, and the quads that each of them holds: as few lanes as have 16
// bytes or more of bfloat16 to read at once.
template <class Run>
void ShareOutQuads(int64_t rows, int64_t size, int multiprocessors, const Run& run) {
  if (size <= 64) return run.template operator()<8, 2>();
  if (size <= 128) return run.template operator()<16, 2>();
  if (size <= 256) return run.template operator()<32, 2>();
  if (size <= 512) return run.template operator()<32, 4>();
  // Of few rows all run at once: then the more lanes, the sooner each is done.
  const bool few = rows <= int64_t{2} * multiprocessors;
  if (size <= 1024 && !few) return run.template operator()<32, 8>();
  if (size <= 2048) return run.template operator()<kQuadBlock, 2>();
  if (size <= 4096) return run.template operator()<kQuadBlock, 4>();
  static_assert(kMostInQuads <= int64_t{kQuadBlock} * 8 * kQuad);
  run.template operator()<kQuadBlock, 8>();
}

}  // namespace gesso::cuda
