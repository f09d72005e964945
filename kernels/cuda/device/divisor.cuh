// Division by a number that is the same for a whole launch: an index goes through several, and the
// division of 64-bit numbers is a hundred instructions on a GPU.
#pragma once

#include <bit>

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

// The upper half of a product of 128 bits.
GESSO_BOTH uint64_t UpperProduct(uint64_t a, uint64_t b) {
#ifdef __CUDA_ARCH__
  return __umul64hi(a, b);
#else
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(a) * b >> 64);
#endif
}

// A number, of which the host computes by what to multiply instead of dividing (Granlund &
// Montgomery 1994, "Division by Invariant Integers using Multiplication"): with s = ceil(log2 d),
// n / d = floor(n * (floor(2^(63 + s) / d) + 1) / 2^(63 + s)) for all 0 <= n < 2^63.
struct Divisor {
  int64_t value = 1;
  uint64_t factor = (uint64_t{1} << 63) + 1;
  int shift = 0;

  Divisor() = default;
  // 0, of something empty, is divided by nowhere. NOLINTNEXTLINE(google-explicit-constructor)
  Divisor(int64_t divisor) : value(divisor) {
    if (divisor <= 1) return;
    shift = std::bit_width(static_cast<uint64_t>(divisor) - 1);
    __extension__ using Wide = unsigned __int128;
    factor = static_cast<uint64_t>((Wide{1} << (63 + shift)) / static_cast<uint64_t>(divisor)) + 1;
  }
  // NOLINTNEXTLINE(google-explicit-constructor): a width is a number as well
  GESSO_BOTH operator int64_t() const { return value; }
};

// For n >= 0.
GESSO_BOTH int64_t operator/(int64_t n, const Divisor& by) {
  return static_cast<int64_t>(UpperProduct(static_cast<uint64_t>(n) << 1, by.factor) >> by.shift);
}
GESSO_BOTH int64_t operator%(int64_t n, const Divisor& by) { return n - n / by * by.value; }

// The same for 0 <= n < 2^31, in two instructions.
struct SmallDivisor {
  uint32_t value = 1;
  uint32_t factor = (uint32_t{1} << 31) + 1;
  int shift = 0;

  SmallDivisor() = default;
  explicit SmallDivisor(int64_t divisor) : value(static_cast<uint32_t>(divisor)) {
    if (divisor <= 1) return;
    shift = std::bit_width(value - 1);
    factor = static_cast<uint32_t>((uint64_t{1} << (31 + shift)) / value + 1);
  }
};

GESSO_BOTH uint32_t operator/(uint32_t n, const SmallDivisor& by) {
  return static_cast<uint32_t>(uint64_t{n << 1} * by.factor >> 32) >> by.shift;
}

// Where element i of [B, H, W, C] is.
struct GridPlace {
  int64_t picture, row, column, channel;

  GESSO_BOTH GridPlace(int64_t i, const Divisor& height, const Divisor& width,
                       const Divisor& channels) {
    const int64_t pixel = i / channels;
    channel = i - pixel * channels;
    const int64_t line = pixel / width;
    column = pixel - line * width;
    picture = line / height;
    row = line - picture * height;
  }
};

}  // namespace gesso::cuda
