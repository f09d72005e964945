// Weights of float32 products by AMX's tiles for 8-bit integers, each as three digits.
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/low_bit.h"

namespace gesso::cpu {

// A number is scale * (d0 + d1 / kDigitBase + d2 / kDigitBase^2) with digits of -127 .. 127, where
// 127 * scale is the largest of its row: off by 2^-24 of that at most, and by rounding in float32.
constexpr int64_t kDigits = 3;
constexpr float kDigitBase = 254;
constexpr float kLargestDigit = 127;
// Rows whose numbers are all smaller lose digits: their inverse scale would be infinite.
constexpr float kSmallestRow = 1e-36f;
// Products of this many inputs cannot overflow the 32-bit sums of their digits.
constexpr int64_t kMostDigitInputs = 44000;

// values u8: panel after panel of kInt8Order.width outputs, each
//   scales  f32 [width], NaN for an output with infinite or NaN weights
//   digits  i8 [K padded / kInt8Order.depth, kDigits, depth / run, width, run]
struct DigitPanels final : Panels {
  int64_t cols = 0;  // K
  void Unpack(float* weight) const override;
};

// Bytes of scales before a panel's digits, from a digit of kInt8Order.depth inputs to the next
// digit, of all of theirs, of a panel.
constexpr int64_t kDigitHead = kInt8Order.width * 4;
constexpr int64_t kDigitPlane = kInt8Order.depth * kInt8Order.width;
constexpr int64_t kDigitStep = kDigits * kDigitPlane;
constexpr int64_t DigitSteps(int64_t depth) {
  return (depth + kInt8Order.depth - 1) / kInt8Order.depth;
}
constexpr int64_t DigitPanelBytes(int64_t depth) {
  return kDigitHead + DigitSteps(depth) * kDigitStep;
}

}  // namespace gesso::cpu
