// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). A number depends on its key and its index alone, never on what was drawn
// before, on threads or on how a batch was split.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/core/tensor.h"

namespace gesso {

// One block of four 32-bit words for a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Fills `out` (float32, contiguous) with standard normal numbers (Box-Muller in double, so that
// every CPU gives the same) of stream (seed, stream): element i is a function of these three only.
void FillNormal(View out, uint64_t seed, uint64_t stream);

// A uniform number in [0, 1) with 53 random bits.
double UniformAt(uint64_t seed, uint64_t stream, uint64_t index);

}  // namespace gesso
