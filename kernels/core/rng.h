// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). A number depends on its key and its index alone, never on what was drawn
// before, on threads or on how a batch was split.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"

namespace gesso {

// One block of four 32-bit words for a 128-bit counter and a 64-bit key.
constexpr std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter,
                                         std::array<uint32_t, 2> key) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Block number `block` of stream (seed, stream).
constexpr std::array<uint32_t, 4> RandomBlock(uint64_t seed, uint64_t stream, uint64_t block) {
  return Philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                 static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

// Two words to a uniform number in [0, 1).
constexpr double ToUniform(uint32_t high, uint32_t low) {
  const uint64_t bits = ((static_cast<uint64_t>(high) << 32) | low) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

// Normal numbers 2 * block and 2 * block + 1 of stream (seed, stream): Box-Muller in double, so
// that every CPU gives the same.
std::array<float, 2> NormalPair(uint64_t seed, uint64_t stream, uint64_t block);

// Fills `out` (float32, contiguous) with the standard normal numbers of stream (seed, stream):
// element i is a function of these three only. On the host; noise in LinearCombination
// (kernels/elementwise.h) is drawn on any device.
void FillNormal(View out, uint64_t seed, uint64_t stream);

// A stream of standard normal numbers and what it is multiplied by.
struct NormalTerm {
  float weight;
  uint64_t stream;
};
// out = the sum of such streams' numbers from 2 * block on.
void SumNormals(uint64_t seed, std::span<const NormalTerm> terms, uint64_t block,
                std::span<float> out);

// A uniform number in [0, 1) with 53 random bits.
double UniformAt(uint64_t seed, uint64_t stream, uint64_t index);

}  // namespace gesso
