#include "kernels/core/rng.h"

#include <cmath>
#include <numbers>

#include "kernels/core/parallel.h"

namespace gesso {

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
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

namespace {

std::array<uint32_t, 4> Block(uint64_t seed, uint64_t stream, uint64_t block) {
  return Philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                 static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

// Two words to a uniform number in [0, 1).
double ToUniform(uint32_t high, uint32_t low) {
  const uint64_t bits = ((static_cast<uint64_t>(high) << 32) | low) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace

void FillNormal(View out, uint64_t seed, uint64_t stream) {
  CHECK(out.IsContiguous());
  float* values = out.Data<float>();
  const int64_t count = out.numel();
  constexpr int64_t kBlocksPerTask = 4096;
  ParallelRange((count + 1) / 2, kBlocksPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const auto words = Block(seed, stream, static_cast<uint64_t>(block));
      const double radius = std::sqrt(-2.0 * std::log1p(-ToUniform(words[0], words[1])));
      const double angle = 2.0 * std::numbers::pi * ToUniform(words[2], words[3]);
      values[2 * block] = static_cast<float>(radius * std::cos(angle));
      if (2 * block + 1 < count)
        values[2 * block + 1] = static_cast<float>(radius * std::sin(angle));
    }
  });
}

double UniformAt(uint64_t seed, uint64_t stream, uint64_t index) {
  const auto words = Block(seed, stream, index);
  return ToUniform(words[0], words[1]);
}

}  // namespace gesso
