// What tests of the GPU's scans share: blocks of emulated threads, and what chunks hand on.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/device/scan_carry.cuh"
#include "tests/support/cuda_threads.h"
#include "tests/support/ops.h"

namespace gesso::testing_support {

// Blocks in any order: none waits for another.
template <class Body>
void RunBlocks(const Body& body, int threads_of_block, Arrival arrival = Arrival::kLate) {
  struct alignas(16) Chunk {
    unsigned char bytes[16];
  };
  std::vector<Chunk> shared(body.SharedBytes() / sizeof(Chunk) + 1);
  for (int64_t block = body.Blocks() - 1; block >= 0; --block) {
    std::memset(shared.data(), 0xff, shared.size() * sizeof(Chunk));
    CudaThreads threads(threads_of_block / cuda::kWarp, arrival);
    body(block, threads, shared.data());
  }
}

inline cuda::ScanChunks Cut(int64_t length, int64_t tokens) {
  return {(length + tokens - 1) / tokens, tokens};
}

// Memory of what chunks of one scan hand on.
struct Carried {
  std::vector<float> states, exponents;

  Carried(const cuda::ScanShape& shape, const cuda::ScanChunks& chunks) {
    const auto ends = static_cast<size_t>(shape.pictures * chunks.count * shape.channels);
    states.assign(ends * static_cast<size_t>(shape.states), NAN);
    exponents.assign(ends, NAN);
  }
  cuda::ScanCarry carry() { return {states.data(), exponents.data()}; }
};

template <class Terms>
void MakeStarts(const Terms& terms, const cuda::ScanChunks& chunks, const cuda::ScanCarry& carry) {
  const cuda::ScanStartsElement<Terms> starts{terms, chunks, carry};
  const cuda::ScanShape& shape = terms.shape;
  for (int64_t i = 0; i < shape.pictures * shape.channels * shape.states; ++i) starts(i);
}

constexpr int64_t kWhole = 1 << 20;  // tokens of a chunk: all

// Decay rates as models have them.
inline Tensor Rates(const Shape& shape) {
  Tensor rates(shape, DType::kF32);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    rates.MutableData<float>()[i] = -0.05f * static_cast<float>(i % 16 + 1);
  }
  return rates;
}

// Elements that are no numbers.
inline std::vector<bool> NansOf(const Tensor& tensor) {
  const Tensor numbers = Cast(tensor, DType::kF32);
  std::vector<bool> nans;
  for (int64_t i = 0; i < numbers.shape().numel(); ++i) {
    nans.push_back(std::isnan(numbers.Data<float>()[i]));
  }
  return nans;
}

}  // namespace gesso::testing_support
