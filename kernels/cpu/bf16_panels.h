// Weights of products of bfloat16 numbers in the order in which AMX and AVX512-BF16 read them, and
// of convolutions in float32.
#pragma once

#include <array>
#include <functional>

#include "kernels/cpu/gemm.h"

namespace gesso::cpu {

// Columns of a panel: two tiles of AMX, two vectors of AVX-512.
constexpr int64_t kPairWidth = 32;
// Inputs that one tile instruction takes: rows of weights are padded to a multiple with zeros.
constexpr int64_t kPairDepth = 32;
// Weights of a panel for that many inputs.
constexpr int64_t kTileWeights = kPairWidth * kPairDepth;

inline int64_t PaddedDepth(int64_t depth) {
  return (depth + kPairDepth - 1) / kPairDepth * kPairDepth;
}

// values [panels, PaddedDepth(K) / 2, kPairWidth, 2] bf16: next to each other lie the weights of
// the two inputs 2k and 2k + 1 of one output.
struct BF16Panels final : Panels {
  int64_t cols = 0;  // K
  void Unpack(float* weight) const override;
};

// A float32 number as the sum of two bfloat16 ones, to 2^-17 of it. What bfloat16 rounds to
// infinity, and NaN, are the second part, which is not the difference of infinities then.
std::array<BFloat16, 2> Split(float value);

// values [panels, PaddedDepth(K) / kPairDepth, 2, kPairDepth / 2, kPairWidth, 2] bf16: for every
// kPairDepth inputs the first parts of the weights, as in BF16Panels, then the second ones.
struct SplitPanels final : Panels {
  int64_t cols = 0;  // K
  void Unpack(float* weight) const override;
};

// A matrix [N, K] as SplitPanels, row by row: `read` writes the K weights of an output; it is
// called on all threads.
using ReadRow = std::function<void(int64_t output, float* to)>;
PackedMatrix PackSplit(int64_t rows, int64_t cols, const ReadRow& read);

}  // namespace gesso::cpu
