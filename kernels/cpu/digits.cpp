#include "kernels/cpu/digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm_digits.h"

namespace gesso::cpu {

namespace {

// Where the first digit of output j and input k of a panel lies; the next ones lie kDigitPlane on.
int64_t Place(int64_t j, int64_t k) {
  const auto& [width, run, depth] = kInt8Order;
  return kDigitHead + k / depth * kDigitStep + k % depth / run * width * run + j * run + k % run;
}

std::array<int8_t, kDigits> DigitsOf(float value) {
  std::array<int8_t, kDigits> digits{};
  for (int8_t& digit : digits) {
    const float rounded = std::nearbyint(value);
    digit = static_cast<int8_t>(rounded);
    value = (value - rounded) * kDigitBase;
  }
  return digits;
}

// The weights of output j of a panel.
void PackOutput(const float* weights, int64_t count, int64_t j, uint8_t* panel) {
  float largest = kSmallestRow;
  bool finite = true;
  for (int64_t k = 0; k < count; ++k) {
    largest = std::max(largest, std::abs(weights[k]));
    finite = finite && std::isfinite(weights[k]);
  }
  float& scale = reinterpret_cast<float*>(panel)[j];
  scale = largest / kLargestDigit;
  if (!finite) {
    scale = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  const float inverse = 1 / scale;
  for (int64_t k = 0; k < count; ++k) {
    // Rounding may take the largest a little beyond.
    const auto digits = DigitsOf(std::clamp(weights[k] * inverse, -kLargestDigit, kLargestDigit));
    uint8_t* to = panel + Place(j, k);
    for (const int8_t digit : digits) {
      *to = static_cast<uint8_t>(digit);
      to += kDigitPlane;
    }
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
  ParallelFor(rows, [&](int64_t row) {
    PackOutput(from + row * cols, cols, row % kInt8Order.width,
               to + row / kInt8Order.width * DigitPanelBytes(cols));
  });
  return PackedMatrix(storage, rows, cols, DType::kF32, PackedMatrix::Encoding::kDigits,
                      storage->values.view().bytes());
}

}  // namespace gesso::cpu
