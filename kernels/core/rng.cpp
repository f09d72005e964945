#include "kernels/core/rng.h"

#include <algorithm>
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

void SumNormals(uint64_t seed, std::span<const NormalTerm> terms, uint64_t block,
                std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += 2, ++block) {
    std::array<float, 2> sum = {};
    for (const NormalTerm& term : terms) {
      const auto pair = NormalPair(seed, term.stream, block);
      for (size_t j = 0; j < 2; ++j) sum[j] += term.weight * pair[j];
    }
    out[i] = sum[0];
    if (i + 1 < out.size()) out[i + 1] = sum[1];
  }
}

void FillNormal(View out, uint64_t seed, uint64_t stream) {
  CHECK(out.IsContiguous());
  const NormalTerm term = {1, stream};
  const std::span<float> values(out.Data<float>(), static_cast<size_t>(out.numel()));
  constexpr int64_t kBlocksPerTask = 4096;
  ParallelRange((out.numel() + 1) / 2, kBlocksPerTask, [&](int64_t begin, int64_t end) {
    const auto first = static_cast<size_t>(2 * begin);
    const size_t count = std::min(static_cast<size_t>(2 * end), values.size()) - first;
    SumNormals(seed, std::span(&term, 1), static_cast<uint64_t>(begin),
               values.subspan(first, count));
  });
}

double UniformAt(uint64_t seed, uint64_t stream, uint64_t index) {
  const auto words = RandomBlock(seed, stream, index);
  return ToUniform(words[0], words[1]);
}

}  // namespace gesso
