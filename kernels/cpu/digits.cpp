#include "kernels/cpu/digits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm_digits.h"
#include "kernels/cpu/highway.h"

namespace gesso::cpu {

namespace {

// Where the first digit of output j and input k of a panel lies; the next ones lie kDigitPlane on.
int64_t Place(int64_t j, int64_t k) {
  const auto& [width, run, depth] = kInt8Order;
  return kDigitHead + k / depth * kDigitStep + k % depth / run * width * run + j * run + k % run;
}

// The scale of a row, NaN where a weight is infinite or NaN. By bits, which compilers make vectors
// of: those of numbers without a sign are in the same order.
float ScaleOf(const float* weights, int64_t count) {
  constexpr uint32_t kInfinity = 0x7f800000;
  uint32_t largest = std::bit_cast<uint32_t>(kSmallestRow);
  for (int64_t k = 0; k < count; ++k) {
    largest = std::max(largest, std::bit_cast<uint32_t>(weights[k]) & 0x7fffffffU);
  }
  if (largest >= kInfinity) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(largest) / kLargestDigit;
}

// The digits of weights, [kDigits, count].
void WriteDigits(const float* weights, int64_t count, float inverse, int8_t* digits) {
  for (int64_t k = 0; k < count; ++k) {
    // Rounding may take the largest a little beyond.
    float value = std::clamp(weights[k] * inverse, -kLargestDigit, kLargestDigit);
    for (int64_t d = 0; d < kDigits; ++d) {
      constexpr float kWhole = 0x1.8p23f;  // plus a number below 2^22: rounded, in the last byte
      const float shifted = value + kWhole;
      digits[d * count + k] = static_cast<int8_t>(std::bit_cast<uint32_t>(shifted));
      value = (value - (shifted - kWhole)) * kDigitBase;
    }
  }
}

// The weights of output j of a panel; `digits` has room for theirs.
void PackOutput(const float* weights, int64_t count, int64_t j, int8_t* digits, uint8_t* panel) {
  constexpr int64_t kRun = kInt8Order.run;
  const float scale = ScaleOf(weights, count);
  reinterpret_cast<float*>(panel)[j] = scale;
  if (std::isnan(scale)) return;
  WriteDigits(weights, count, 1 / scale, digits);
  for (int64_t d = 0; d < kDigits; ++d, digits += count) {
    uint8_t* plane = panel + d * kDigitPlane;
    int64_t k = 0;
    for (; k + kRun <= count; k += kRun) std::memcpy(plane + Place(j, k), digits + k, kRun);
    for (; k < count; ++k) plane[Place(j, k)] = static_cast<uint8_t>(digits[k]);
  }
}

}  // namespace

void DigitPanels::Unpack(float* weight) const {
  const int64_t bytes = DigitPanelBytes(cols);
  for (int64_t row = 0; row < rows; ++row) {
    const uint8_t* panel = values.Data<uint8_t>() + row / kInt8Order.width * bytes;
    const int64_t j = row % kInt8Order.width;
    const float scale = reinterpret_cast<const float*>(panel)[j];
    for (int64_t k = 0; k < cols; ++k) {
      const uint8_t* digits = panel + Place(j, k) + (kDigits - 1) * kDigitPlane;
      float value = 0;
      for (int64_t d = 0; d < kDigits; ++d, digits -= kDigitPlane) {
        value = value / kDigitBase + static_cast<float>(static_cast<int8_t>(*digits));
      }
      weight[row * cols + k] = value * scale;
    }
  }
}

PackedMatrix PackDigits(ConstView weight) {
  const int64_t rows = weight.shape[0];
  const int64_t cols = weight.shape[1];
  const Tensor copy = weight.dtype == DType::kF32 ? Tensor() : Cast(weight, DType::kF32);
  const auto* from = (copy.empty() ? weight : copy.view()).Data<float>();
  auto storage = std::make_shared<DigitPanels>();
  storage->rows = rows;
  storage->cols = cols;
  const int64_t panels = (rows + kInt8Order.width - 1) / kInt8Order.width;
  storage->values = Tensor({panels, DigitPanelBytes(cols)}, DType::kU8);
  auto* to = storage->values.MutableData<uint8_t>();
  ParallelRange(rows, RowsATask(cols), [&](int64_t begin, int64_t end) {
    std::vector<int8_t> digits(static_cast<size_t>(kDigits * cols));
    for (int64_t row = begin; row < end; ++row) {
      PackOutput(from + row * cols, cols, row % kInt8Order.width, digits.data(),
                 to + row / kInt8Order.width * DigitPanelBytes(cols));
    }
  });
  return PackedMatrix(storage, rows, cols, DType::kF32, PackedMatrix::Encoding::kDigits,
                      storage->values.view().bytes());
}

}  // namespace gesso::cpu
