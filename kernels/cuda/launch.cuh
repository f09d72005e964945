// What every .cu file needs: the stream, errors, scratch memory and launches over elements.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/core/tensor.h"

namespace gesso::cuda {

// The stream on which everything runs, in order. Asked for anew for all that is given to it, by one
// thread at a time: WaitForDevice() waits where that was done since it last did.
cudaStream_t Stream();

// Throws kDevice, or kMemory where memory was short, naming `what`.
void Check(cudaError_t status, const char* what);

// Device memory for intermediate results within one op: the same block for every call, grown when a
// larger one is asked for. Valid until the next call with this slot (0 .. kScratchSlots - 1).
constexpr int kScratchSlots = 5;
void* Scratch(int slot, size_t bytes);

// Blocks of `threads` that cover `count` items, no more than fit on any grid: kernels stride.
inline unsigned BlocksFor(int64_t count, int64_t threads) {
  constexpr int64_t kMostBlocks = 1 << 20;
  return static_cast<unsigned>(
      std::clamp<int64_t>((count + threads - 1) / threads, 1, kMostBlocks));
}

template <class Body>
__global__ void ForEachKernel(int64_t count, Body body) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    body(i);
  }
}

// body(i) on the device for i = 0 .. count - 1; Body is trivially copyable, and its operator() is
// __host__ __device__ so that tests can call it on the CPU.
template <class Body>
void ForEach(int64_t count, const Body& body) {
  constexpr int64_t kThreads = 256;
  ForEachKernel<<<BlocksFor(count, kThreads), kThreads, 0, Stream()>>>(count, body);
  Check(cudaGetLastError(), "launching a kernel");
}

}  // namespace gesso::cuda
