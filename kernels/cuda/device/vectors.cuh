// Numbers that a thread reads and writes 16 bytes at a time: what memory needs to be used to the
// full by ops that do little else.
#pragma once

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

constexpr int kVector = 8;  // numbers in a row: 16 bytes of bfloat16, two times 16 of float32

struct Vector {
  float at[kVector];
};

struct alignas(16) VectorBytes {
  uint32_t words[4];
};

// Whether vectors may begin at `numbers` and at every `stride` from there on; absent ones may.
inline bool HasVectors(const Numbers& numbers, int64_t stride = kVector) {
  return reinterpret_cast<uintptr_t>(numbers.data) % sizeof(VectorBytes) == 0 &&
         stride % kVector == 0;
}

// Those from i on, a multiple of kVector.
GESSO_BOTH Vector GetVector(const Numbers& from, int64_t i) {
  Vector vector;
  if (from.bf16) {
    const VectorBytes bytes =
        *reinterpret_cast<const VectorBytes*>(static_cast<const uint16_t*>(from.data) + i);
    GESSO_UNROLL for (int k = 0; k < 4; ++k) {
      vector.at[2 * k] = BitsToFloat(bytes.words[k] << 16);
      vector.at[2 * k + 1] = BitsToFloat(bytes.words[k] & 0xffff0000u);
    }
    return vector;
  }
  const auto* const bytes =
      reinterpret_cast<const VectorBytes*>(static_cast<const float*>(from.data) + i);
  GESSO_UNROLL for (int half = 0; half < 2; ++half) {
    const VectorBytes four = bytes[half];
    GESSO_UNROLL for (int k = 0; k < 4; ++k) vector.at[4 * half + k] = BitsToFloat(four.words[k]);
  }
  return vector;
}

// Absent ones are `without` everywhere.
GESSO_BOTH Vector GetVectorOr(const Numbers& from, int64_t i, float without) {
  if (!from.absent()) return GetVector(from, i);
  Vector vector;
  GESSO_UNROLL for (int k = 0; k < kVector; ++k) vector.at[k] = without;
  return vector;
}

GESSO_BOTH void SetVector(const Numbers& to, int64_t i, const Vector& vector) {
  if (to.bf16) {
    VectorBytes bytes;
    GESSO_UNROLL for (int k = 0; k < 4; ++k) {
      bytes.words[k] = static_cast<uint32_t>(RoundToBf16(vector.at[2 * k])) |
                       static_cast<uint32_t>(RoundToBf16(vector.at[2 * k + 1])) << 16;
    }
    *reinterpret_cast<VectorBytes*>(static_cast<uint16_t*>(to.data) + i) = bytes;
    return;
  }
  auto* const bytes = reinterpret_cast<VectorBytes*>(static_cast<float*>(to.data) + i);
  GESSO_UNROLL for (int half = 0; half < 2; ++half) {
    VectorBytes four;
    GESSO_UNROLL for (int k = 0; k < 4; ++k) four.words[k] = FloatToBits(vector.at[4 * half + k]);
    bytes[half] = four;
  }
}

}  // namespace gesso::cuda
