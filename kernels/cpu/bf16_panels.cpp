#include "kernels/cpu/bf16_panels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm_bf16.h"

namespace gesso::cpu {

namespace {

// Where the weight of output `row` and input `col` lies.
int64_t Place(int64_t row, int64_t col, int64_t padded) {
  return row / kPairWidth * padded * kPairWidth + col / 2 * 2 * kPairWidth + row % kPairWidth * 2 +
         col % 2;
}

// Where the first part of a split weight lies; the second lies kTileWeights behind it.
int64_t FirstPart(int64_t row, int64_t col, int64_t padded) {
  const int64_t step = row / kPairWidth * (padded / kPairDepth) + col / kPairDepth;
  return step * 2 * kTileWeights + Place(row % kPairWidth, col % kPairDepth, padded);
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

std::array<BFloat16, 2> Split(float value) {
  BFloat16 first(value);
  if (!std::isfinite(static_cast<float>(first))) first = BFloat16();
  return {first, BFloat16(value - static_cast<float>(first))};
}

void SplitPanels::Unpack(float* weight) const {
  const int64_t padded = PaddedDepth(cols);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      const BFloat16* first = values.Data<BFloat16>() + FirstPart(row, col, padded);
      weight[row * cols + col] =
          static_cast<float>(first[0]) + static_cast<float>(first[kTileWeights]);
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

namespace {

// `count` <= kPairDepth weights of an output, the first of which belongs at `to`.
void PackStep(const float* from, int64_t count, BFloat16* to) {
  std::array<BFloat16, kPairDepth> first;
  std::array<BFloat16, kPairDepth> second;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const auto parts = Split(from[i]);
    first[i] = parts[0];
    second[i] = parts[1];
  }
  for (int64_t i = 0; i < count; ++i) {
    BFloat16* const place = to + Place(0, i, kPairDepth);
    place[0] = first[static_cast<size_t>(i)];
    place[kTileWeights] = second[static_cast<size_t>(i)];
  }
}

}  // namespace

PackedMatrix PackSplit(int64_t rows, int64_t cols, const ReadRow& read) {
  const int64_t padded = PaddedDepth(cols);
  const int64_t panels = (rows + kPairWidth - 1) / kPairWidth;
  auto storage = std::make_shared<SplitPanels>();
  storage->rows = rows;
  storage->cols = cols;
  storage->values =
      Tensor({panels, padded / kPairDepth, 2, kPairDepth / 2, kPairWidth, 2}, DType::kBF16);
  auto* to = storage->values.MutableData<BFloat16>();
  ParallelFor(panels, [&](int64_t panel) {
    std::vector<float> weights(static_cast<size_t>(cols));
    const int64_t end = std::min(rows, (panel + 1) * kPairWidth);
    for (int64_t row = panel * kPairWidth; row < end; ++row) {
      read(row, weights.data());
      for (int64_t begin = 0; begin < cols; begin += kPairDepth) {
        PackStep(weights.data() + begin, std::min(kPairDepth, cols - begin),
                 to + FirstPart(row, begin, padded));
      }
    }
  });
  return PackedMatrix(storage, rows, cols, DType::kF32, PackedMatrix::Encoding::kSplitFloats,
                      static_cast<size_t>(rows * cols) * sizeof(float));
}

}  // namespace gesso::cpu
