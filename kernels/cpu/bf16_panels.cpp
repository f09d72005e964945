#include "kernels/cpu/bf16_panels.h"

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm_bf16.h"

namespace gesso::cpu {

namespace {

// Where the weight of output `row` and input `col` lies.
int64_t Place(int64_t row, int64_t col, int64_t padded) {
  return row / kPairWidth * padded * kPairWidth + col / 2 * 2 * kPairWidth + row % kPairWidth * 2 +
         col % 2;
}

}  // namespace

void BF16Panels::Unpack(float* weight) const {
  const int64_t padded = PaddedDepth(cols);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      weight[row * cols + col] =
          static_cast<float>(values.Data<BFloat16>()[Place(row, col, padded)]);
    }
  }
}

PackedMatrix PackBF16(ConstView weight) {
  const int64_t rows = weight.shape[0];
  const int64_t cols = weight.shape[1];
  const int64_t padded = PaddedDepth(cols);
  const int64_t panels = (rows + kPairWidth - 1) / kPairWidth;
  const Tensor copy = weight.dtype == DType::kBF16 ? Tensor() : Cast(weight, DType::kBF16);
  const auto* from = (copy.empty() ? weight : copy.view()).Data<BFloat16>();
  auto storage = std::make_shared<BF16Panels>();
  storage->rows = rows;
  storage->cols = cols;
  storage->values = Tensor({panels, padded / 2, kPairWidth, 2}, DType::kBF16);
  auto* to = storage->values.MutableData<BFloat16>();
  ParallelFor(panels, [&](int64_t panel) {
    const int64_t end = std::min(rows, (panel + 1) * kPairWidth);
    for (int64_t row = panel * kPairWidth; row < end; ++row) {
      for (int64_t col = 0; col < cols; ++col) {
        to[Place(row, col, padded)] = from[row * cols + col];
      }
    }
  });
  return PackedMatrix(storage, rows, cols, DType::kBF16);
}

}  // namespace gesso::cpu
