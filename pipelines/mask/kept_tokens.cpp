#include "pipelines/mask/kept_tokens.h"

#include <algorithm>

#include "kernels/resize.h"

namespace gesso {

namespace {

constexpr float kHalf = 0.5f;
constexpr int64_t kFewTokens = 3;

// [1, h, w, 1] f32: 1 where no pixel of the token is painted.
Tensor KeptOfLastMap(const Image& mask, const TokenMap& map) {
  Tensor kept({1, map.height, map.width, 1}, DType::kF32);
  for (int64_t token = 0; token < map.tokens(); ++token) {
    const int64_t y = token / map.width;
    const int64_t x = token % map.width;
    bool is_painted = false;
    for (int64_t i = y * mask.height / map.height; i < (y + 1) * mask.height / map.height; ++i) {
      const auto row = mask.pixels.begin() + i * mask.width;
      is_painted |=
          std::any_of(row + x * mask.width / map.width, row + (x + 1) * mask.width / map.width,
                      [](uint8_t paint) { return paint > 0; });
    }
    kept.MutableData<float>()[token] = is_painted ? 0.0f : 1.0f;
  }
  return kept;
}

}  // namespace

Tensor KeptTokens(const Image& mask, std::span<const TokenMap> maps, int64_t units) {
  int64_t tokens = 0;
  for (const TokenMap& map : maps) tokens += map.tokens();
  Tensor kept({1, tokens * units}, DType::kI32);
  const Tensor last = KeptOfLastMap(mask, maps.back());
  Arena arena(Device::kCpu, size_t{1} << 16);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  int32_t* to = kept.MutableData<int32_t>();
  for (const TokenMap& map : maps) {
    Tensor share({1, map.height, map.width, 1}, DType::kF32);
    Resize(ctx, {.x = last, .resampling = Resampling::kBilinear, .out = share.mutable_view()});
    for (int64_t token = 0; token < map.tokens(); ++token) {
      const bool keeps = share.Data<float>()[token] > kHalf || map.tokens() <= kFewTokens;
      to = std::fill_n(to, units, keeps ? 1 : 0);
    }
  }
  return kept;
}

}  // namespace gesso
