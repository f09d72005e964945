// How exactly products and convolutions in float32 take their factors.
#pragma once

namespace gesso {

// Sums are float32 either way.
enum class Factors {
  kSplit,  // as the sum of two bfloat16 numbers, where that is faster: off by 2^-16 of themselves
           // at most, by 2^-18.5 in the mean (RMS)
  kWhole,  // as they are
};

}  // namespace gesso
