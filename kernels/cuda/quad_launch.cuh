// Launches over rows in quads (device/quads.cuh), shared out as quad_plan.h says.
#pragma once

#include <type_traits>

#include "kernels/cuda/block_launch.cuh"
#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/quad_plan.h"

namespace gesso::cuda {

// Calls launch.operator()<Lanes, kQuads>() as ShareOutQuads does on this GPU.
template <class Launch>
void ShareOutRows(int64_t rows, int64_t size, const Launch& launch) {
  static_assert(BlockLanes::kCount == kQuadBlock);
  ShareOutQuads(rows, size, Limits().multiprocessors, [&]<int kLanes, int kQuads>() {
    using Lanes = std::conditional_t<kLanes == kQuadBlock, BlockLanes, LanesOfWarp<kLanes>>;
    launch.template operator()<Lanes, kQuads>();
  });
}

}  // namespace gesso::cuda
