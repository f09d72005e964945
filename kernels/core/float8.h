// 8-bit floating-point numbers (Micikevicius et al. 2022, "FP8 Formats for Deep Learning";
// PyTorch's float8_e4m3fn and float8_e5m2). As constexpr functions, so that CUDA kernels call them
// too.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/core/dtype.h"

namespace gesso {

constexpr float kMostE4M3 = 448;

// Sign, 4 bits of exponent, 3 of mantissa: 2^-9 .. 448, no infinity, one NaN of either sign.
struct E4M3 {
  uint8_t bits = 0;
  E4M3() = default;
  // To the nearest, ties to even. What is larger than 448, infinity too, becomes 448; NaN stays
  // NaN.
  constexpr explicit E4M3(float value) {
    const auto wide = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = wide & 0x7fffffffu;
    uint32_t code = kNaN;
    if (magnitude <= 0x7f800000u) {
      if (magnitude >= std::bit_cast<uint32_t>(kMostE4M3)) {
        code = kMost;
      } else if (magnitude >= 0x3c800000u) {  // 2^-6, the smallest normal number
        code = ((magnitude + 0x7ffffu + ((magnitude >> 20) & 1u)) >> 20) - (kBias << 3);
      } else {  // a sum of 2^23 and so many 2^-9 ends with the number of them, rounded
        code = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p9f + 0x1p23f) & 0xfu;
      }
    }
    bits = static_cast<uint8_t>(code | (wide >> 31 << 7));
  }
  constexpr explicit operator float() const {
    const uint32_t magnitude = bits & 0x7fu;
    const uint32_t sign = static_cast<uint32_t>(bits >> 7) << 31;
    if (magnitude == kNaN) return std::numeric_limits<float>::quiet_NaN();
    if (magnitude >> 3 != 0) return std::bit_cast<float>(sign | ((magnitude + (kBias << 3)) << 20));
    const float small = static_cast<float>(magnitude) * 0x1p-9f;
    return sign != 0 ? -small : small;
  }
  constexpr bool IsNaN() const { return (bits & 0x7fu) == kNaN; }

 private:
  static constexpr uint32_t kBias = 120;  // of float32's exponent beyond that of e4m3
  static constexpr uint32_t kMost = 0x7e;
  static constexpr uint32_t kNaN = 0x7f;
};

// Sign, 5 bits of exponent, 2 of mantissa: the upper half of a binary16.
struct E5M2 {
  uint8_t bits = 0;
  explicit operator float() const { return HalfToFloat(static_cast<uint16_t>(bits << 8)); }
};

template <>
struct DTypeOf<E4M3> {
  static constexpr DType value = DType::kF8E4M3;
};

// The smallest power of two (2^-126 at least) of which `largest` is no more than 448; 0 where all
// is as good as 0. Numbers divided by it, or multiplied again, lose nothing.
constexpr float E4M3Scale(float largest) {
  const auto bits = std::bit_cast<uint32_t>(largest / kMostE4M3);
  return std::bit_cast<float>((bits + 0x7fffffu) & 0x7f800000u);
}

}  // namespace gesso
