// Threads that work at one row together. A row's arithmetic is written once over "lanes": the
// threads of a warp, those of a block, or on the host, for tests, a single one.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace gesso::cuda {

// Neighbours in a warp, a power of two of them, that have a row of their own.
template <int kLanes>
struct LanesOfWarp {
  static constexpr int kCount = kLanes;

  __device__ int index() const { return static_cast<int>(threadIdx.x) % kCount; }
  __device__ int count() const { return kCount; }
  // Over all lanes; every lane gets the result.
  template <class T>
  __device__ T Sum(T value) const {
    for (int step = kCount / 2; step > 0; step /= 2) {
      value += __shfl_xor_sync(Mask(), value, step);
    }
    return value;
  }
  __device__ float Max(float value) const {
    for (int step = kCount / 2; step > 0; step /= 2) {
      value = fmaxf(value, __shfl_xor_sync(Mask(), value, step));
    }
    return value;
  }
  // What lane `index` has.
  __device__ float From(float value, int index) const {
    return __shfl_sync(Mask(), value, index, kCount);
  }

 private:
  // Of these lanes among the warp's: those of other rows may have left.
  __device__ static unsigned Mask() {
    return (~0u >> (32 - kCount)) << (threadIdx.x % 32 / kCount * kCount);
  }
};

using WarpLanes = LanesOfWarp<32>;

// A whole block of kCount threads.
struct BlockLanes {
  static constexpr int kCount = 256;

  __device__ int index() const { return static_cast<int>(threadIdx.x); }
  __device__ int count() const { return kCount; }
  template <class T>
  __device__ T Sum(T value) const {
    __shared__ T partial[kCount / WarpLanes::kCount];
    const T sum = WarpLanes().Sum(value);
    if (WarpLanes().index() == 0) partial[index() / WarpLanes::kCount] = sum;
    __syncthreads();
    T total = 0;
    for (const T part : partial) total += part;
    __syncthreads();  // before the next sum overwrites the parts
    return total;
  }
  __device__ float Max(float value) const {
    __shared__ float partial[kCount / WarpLanes::kCount];
    const float most = WarpLanes().Max(value);
    if (WarpLanes().index() == 0) partial[index() / WarpLanes::kCount] = most;
    __syncthreads();
    float result = partial[0];
    for (const float part : partial) result = fmaxf(result, part);
    __syncthreads();  // before the next one overwrites the parts
    return result;
  }
  // Until all lanes are here, with what they wrote to memory.
  __device__ void Sync() const { __syncthreads(); }
};

template <class Lanes, class Body>
__global__ void ForEachRowKernel(int64_t rows, Body body) {
  const int64_t a_block = static_cast<int64_t>(blockDim.x) / Lanes::kCount;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * a_block + threadIdx.x / Lanes::kCount;
  for (int64_t row = first; row < rows; row += gridDim.x * a_block) body(row, Lanes());
}

// body(row, lanes) on the device for every row; Body is trivially copyable and takes any lanes.
template <class Lanes, class Body>
void ForEachRow(int64_t rows, const Body& body) {
  constexpr int kThreads = Lanes::kCount > 128 ? Lanes::kCount : 128;
  ForEachRowKernel<Lanes>
      <<<BlocksFor(rows, kThreads / Lanes::kCount), kThreads, 0, Stream()>>>(rows, body);
  Check(cudaGetLastError(), "launching a kernel");
}

}  // namespace gesso::cuda
