// How weights in few bits and the rounded inputs of products with them lie in the device's memory.
// Decided on the host, without a GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/device/low_bit.cuh"
#include "kernels/low_bit.h"

namespace gesso::cuda {

// Products of codes are of so many rows, or a multiple: cuBLASLt has none for some small numbers.
// What the rows behind the last one hold does not matter.
constexpr int64_t kIntegerRows = 32;

// Whether GPUs of this compute capability multiply e4m3 numbers: from Ada on.
constexpr bool MultipliesFloat8(int major, int minor) {
  return major > 8 || (major == 8 && minor >= 9);
}

constexpr int64_t UpTo(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// The codes of `matrix` [N, K], filled up with codes of zero (CodeRows).
inline Tensor FilledUp(const LowBitMatrix& matrix) {
  const bool four = IsFourBit(matrix.type);
  const int64_t padded = UpTo(matrix.cols, CodeRows::kInputsMultiple);
  const int64_t bytes = four ? padded / 2 : padded;
  const int64_t from_bytes = matrix.codes.shape()[1];
  Tensor codes({UpTo(matrix.rows, CodeRows::kOutputsMultiple), bytes}, matrix.codes.dtype());
  auto* const to = codes.mutable_view().Bytes();
  std::memset(to, four ? 0x88 : 0, codes.view().bytes());
  const auto* const from = matrix.codes.view().Bytes();
  for (int64_t n = 0; n < matrix.rows; ++n) {
    std::memcpy(to + n * bytes, from + n * from_bytes, static_cast<size_t>(from_bytes));
    // Behind an odd number of inputs: whatever a file has there.
    if (four && matrix.cols % 2 != 0) {
      std::byte& last = to[n * bytes + from_bytes - 1];
      last = (last & std::byte{0x0f}) | std::byte{0x80};
    }
  }
  return codes;
}

// The rows of `matrix` as kernels see them; they point at `codes`, which FilledUp made, and at
// `scale` and `factors`, the matrix's own or copies.
inline CodeRows RowsOf(const LowBitMatrix& matrix, const Tensor& codes, const Tensor& scale,
                       const Tensor& factors) {
  CodeRows rows;
  rows.codes = static_cast<const uint32_t*>(codes.view().data);
  rows.scale = Numbers(scale);
  rows.factors = static_cast<const uint8_t*>(factors.view().data);
  rows.rows = matrix.rows;
  rows.inputs = matrix.cols;
  rows.padded = UpTo(matrix.cols, CodeRows::kInputsMultiple);
  rows.groups = LowBitGroups(matrix.cols);
  rows.four = IsFourBit(matrix.type);
  rows.float8 = IsFloat8(matrix.type);
  rows.rounds = RoundsInputs(matrix.type);
  return rows;
}

// Memory for the rounded inputs of a product of codes, in bytes: a scale a row, the rotated rows as
// float32 where the product turns them, then the codes of all rows that cuBLASLt reads.
struct RoundedLayout {
  int64_t rows;            // that are multiplied, a multiple of kIntegerRows
  int64_t rotated, codes;  // where they begin
  int64_t bytes;           // in all

  RoundedLayout(int64_t count, int64_t inputs, int64_t padded, bool turns)
      : rows(UpTo(count, kIntegerRows)),
        rotated(UpTo(count * 4, 256)),
        codes(rotated + (turns ? UpTo(count * inputs * 4, 256) : 0)),
        bytes(codes + rows * padded) {}
};

}  // namespace gesso::cuda
