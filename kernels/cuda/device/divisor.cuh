// Division by a number that is the same for a whole launch: a multiplication and a shift, where the
// GPU would take some hundred instructions for 64 bits.
#pragma once

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

constexpr int64_t kMostDividend = INT32_MAX;

// Granlund & Montgomery 1994, "Division by Invariant Integers using Multiplication", theorem 4.2,
// for dividends of 31 bits: with s = ceil(log2 d) and m = ceil(2^(31 + s) / d), which has 32 bits,
// n m / 2^(31 + s) is off by less than 1 / d.
class Divisor {
 public:
  Divisor() = default;
  explicit Divisor(int64_t by) : by_(static_cast<uint32_t>(by)), shift_(31) {
    while (int64_t{1} << (shift_ - 31) < by) ++shift_;
    factor_ = static_cast<uint32_t>(((uint64_t{1} << shift_) + by_ - 1) / by_);
  }

  // dividend / by of 0 <= dividend <= kMostDividend
  GESSO_BOTH uint32_t Of(uint32_t dividend) const {
    return static_cast<uint32_t>(uint64_t{dividend} * factor_ >> shift_);
  }
  GESSO_BOTH uint32_t Rest(uint32_t dividend) const { return dividend - Of(dividend) * by_; }

 private:
  uint32_t by_ = 1;
  uint32_t factor_ = uint32_t{1} << 31;
  int shift_ = 31;
};

}  // namespace gesso::cuda
