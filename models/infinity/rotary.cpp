#include "models/infinity/rotary.h"

#include <cmath>
#include <numeric>

namespace gesso::infinity {

namespace {

// In float32 as the official code, whose rounding decides near ties.
int64_t OnGrid(int64_t index, int64_t size, int64_t reference) {
  const float step = static_cast<float>(static_cast<double>(reference) / static_cast<double>(size));
  return std::lrint(static_cast<float>(index) * step);  // to nearest, ties to even
}

}  // namespace

Rotary MakeRotary(std::span<const TokenMap> maps, const TokenMap& reference, int64_t head_dim) {
  CHECK(head_dim % 4 == 0);
  const int64_t tokens =
      std::accumulate(maps.begin(), maps.end(), int64_t{0},
                      [](int64_t sum, const TokenMap& map) { return sum + map.tokens(); });
  const int64_t axis = head_dim / 4;  // pairs that turn with one axis
  Rotary rotary = {.cos = Tensor({tokens, 2 * axis}, DType::kF32),
                   .sin = Tensor({tokens, 2 * axis}, DType::kF32)};
  auto* cosine = rotary.cos.MutableData<float>();
  auto* sine = rotary.sin.MutableData<float>();
  for (const TokenMap& map : maps) {
    for (int64_t token = 0; token < map.tokens(); ++token) {
      const int64_t y = OnGrid(token / map.width, map.height, reference.height);
      const int64_t x = OnGrid(token % map.width, map.width, reference.width);
      for (int64_t j = 0; j < 2 * axis; ++j) {
        const double frequency =
            std::pow(10000.0, -4.0 * static_cast<double>(j % axis) / static_cast<double>(head_dim));
        const double angle = static_cast<double>(j < axis ? y : x) * frequency;
        *cosine++ = static_cast<float>(std::cos(angle));
        *sine++ = static_cast<float>(std::sin(angle));
      }
    }
  }
  return rotary;
}

}  // namespace gesso::infinity
