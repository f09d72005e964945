// Launches of bodies that a whole block of threads works at, with shared memory whose size the host
// decides.
#pragma once

#include "kernels/cuda/block_limits.h"
#include "kernels/cuda/device/block_threads.cuh"
#include "kernels/cuda/launch.cuh"

namespace gesso::cuda {

template <int kMostThreads, int kLeastBlocks, class Body>
__global__ void __launch_bounds__(kMostThreads, kLeastBlocks)
    ForEachBlockKernel(int64_t first, const __grid_constant__ Body body) {
  extern __shared__ __align__(16) unsigned char shared[];
  BlockThreads threads;
  body(first + blockIdx.x, threads, shared);
}

// Of the device in use.
inline BlockLimits Limits() {
  static const BlockLimits limits = [] {
    int bytes = 0;
    int multiprocessors = 0;
    Check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
          "asking for the GPU's properties");
    Check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0),
          "asking for the GPU's properties");
    return BlockLimits{static_cast<size_t>(bytes), multiprocessors};
  }();
  return limits;
}

// body(block, threads, shared) on the device for block = 0 .. body.Blocks() - 1; threads: at most
// kMostThreads. Registers are shared out so that kLeastBlocks fit on a multiprocessor.
template <int kMostThreads, int kLeastBlocks, class Body>
void ForEachBlock(const Body& body, int threads, size_t shared_bytes) {
  // More shared memory than 48 KiB has to be asked for, once a kernel.
  static size_t granted = size_t{48} << 10;
  if (shared_bytes > granted) {
    Check(cudaFuncSetAttribute(ForEachBlockKernel<kMostThreads, kLeastBlocks, Body>,
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "asking for shared memory");
    granted = shared_bytes;
  }
  // No loop in the kernel, whose counter would take registers; a grid holds 2^31 - 1 blocks.
  constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;
  for (int64_t first = 0; first < body.Blocks(); first += kMostBlocks) {
    const int64_t blocks = std::min(body.Blocks() - first, kMostBlocks);
    ForEachBlockKernel<kMostThreads, kLeastBlocks>
        <<<static_cast<unsigned>(blocks), threads, shared_bytes, Stream()>>>(first, body);
    Check(cudaGetLastError(), "launching a kernel");
  }
}

}  // namespace gesso::cuda
