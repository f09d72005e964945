// Sinusoidal features of a number: a diffusion time, a position.
// Vaswani et al. 2017, "Attention is all you need".
#pragma once

#include <cmath>
#include <cstdint>

namespace gesso::nn {

enum class SinusoidOrder { kCosFirst, kSinFirst };

// Adds to out [2 * count] the cosines and sines of value * 10000^(-k / count), k < count; the ones
// first, then the others.
inline void AddSinusoids(double value, int64_t count, SinusoidOrder order, float* out) {
  float* const cosines = order == SinusoidOrder::kCosFirst ? out : out + count;
  float* const sines = order == SinusoidOrder::kCosFirst ? out + count : out;
  for (int64_t k = 0; k < count; ++k) {
    const double exponent = -static_cast<double>(k) / static_cast<double>(count);
    const double angle = value * std::pow(10000.0, exponent);
    cosines[k] += static_cast<float>(std::cos(angle));
    sines[k] += static_cast<float>(std::sin(angle));
  }
}

}  // namespace gesso::nn
