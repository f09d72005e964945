#include "kernels/core/rng.h"

#include <cmath>
#include <numbers>

#include "kernels/core/parallel.h"

namespace gesso {

std::array<float, 2> NormalPair(uint64_t seed, uint64_t stream, uint64_t block) {
  const auto words = RandomBlock(seed, stream, block);
  const double radius = std::sqrt(-2.0 * std::log1p(-ToUniform(words[0], words[1])));
  const double angle = 2.0 * std::numbers::pi * ToUniform(words[2], words[3]);
  return {static_cast<float>(radius * std::cos(angle)),
          static_cast<float>(radius * std::sin(angle))};
}

void FillNormal(View out, uint64_t seed, uint64_t stream) {
  const NormalTerm term = {1, stream};
  FillNormal(out, seed, std::span(&term, 1));
}

void FillNormal(View out, uint64_t seed, std::span<const NormalTerm> terms) {
  CHECK(out.IsContiguous());
  float* values = out.Data<float>();
  const int64_t count = out.numel();
  constexpr int64_t kBlocksPerTask = 4096;
  ParallelRange((count + 1) / 2, kBlocksPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      std::array<float, 2> sum = {};
      for (const NormalTerm& term : terms) {
        const auto pair = NormalPair(seed, term.stream, static_cast<uint64_t>(block));
        for (size_t i = 0; i < 2; ++i) sum[i] += term.weight * pair[i];
      }
      values[2 * block] = sum[0];
      if (2 * block + 1 < count) values[2 * block + 1] = sum[1];
    }
  });
}

double UniformAt(uint64_t seed, uint64_t stream, uint64_t index) {
  const auto words = RandomBlock(seed, stream, index);
  return ToUniform(words[0], words[1]);
}

}  // namespace gesso
