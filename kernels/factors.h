// How exactly products, convolutions and attention in float32 take their factors.
#pragma once

namespace gesso {

// Sums are float32 either way.
enum class Factors {
  kSplit,  // in parts, where that is faster. Of products: as three digits of 8 bits, off by 2^-24
           // of the largest of their row. Of convolutions: as the sum of two bfloat16 numbers, off
           // by 2^-16 of themselves at most, by 2^-18.5 in the mean (RMS)
  kWhole,  // as they are
  kRounded,  // of attention: to 11 bits, where that is faster, which makes an error of 2^-12 (RMS);
             // for what is not known to more bits anyway
};

}  // namespace gesso
