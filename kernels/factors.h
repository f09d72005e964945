// How exactly products and convolutions in float32 take their factors.
#pragma once

namespace gesso {

// Sums are float32 either way.
enum class Factors {
  kSplit,  // in parts, where that is faster. Of products: as three digits of 8 bits, off by 2^-24
           // of the largest of their row. Of convolutions: as the sum of two bfloat16 numbers, off
           // by 2^-16 of themselves at most, by 2^-18.5 in the mean (RMS)
  kWhole,  // as they are
};

}  // namespace gesso
