// Weights of bfloat16 products in the order in which both AMX and AVX512-BF16 read them.
#pragma once

#include "kernels/cpu/gemm.h"

namespace gesso::cpu {

// Columns of a panel: two tiles of AMX, two vectors of AVX-512.
constexpr int64_t kPairWidth = 32;
// Inputs that one tile instruction takes: rows of weights are padded to a multiple with zeros.
constexpr int64_t kPairDepth = 32;

inline int64_t PaddedDepth(int64_t depth) {
  return (depth + kPairDepth - 1) / kPairDepth * kPairDepth;
}

// values [panels, PaddedDepth(K) / 2, kPairWidth, 2] bf16: next to each other lie the weights of
// the two inputs 2k and 2k + 1 of one output.
struct BF16Panels final : Panels {
  int64_t cols = 0;  // K
  void Unpack(float* weight) const override;
};

}  // namespace gesso::cpu
