#include "samplers/noise.h"

#include <cstring>

#include "kernels/core/rng.h"

namespace gesso {

namespace {

// Streams of a seed's random numbers: 0 for the start, 1 + draw for independent draws; Brownian
// noise marks its own with the upper bits (brownian.cpp).
constexpr uint64_t kStartStream = 0;

void FillPictures(Context& ctx, std::span<const uint64_t> seeds, uint64_t stream, View out) {
  CHECK(out.shape[0] == static_cast<int64_t>(seeds.size()));
  if (ctx.device == Device::kMeta) return;
  for (int64_t b = 0; b < out.shape[0]; ++b) {
    FillNormal(out.Slice(0, b, b + 1), seeds[static_cast<size_t>(b)], stream);
  }
}

}  // namespace

void DrawStart(Context& ctx, std::span<const uint64_t> seeds, View out) {
  FillPictures(ctx, seeds, kStartStream, out);
}

void PhiloxNoise::Draw(Context& ctx, int64_t draw, double /*sigma*/, double /*sigma_next*/,
                       View out) const {
  FillPictures(ctx, seeds_, kStartStream + 1 + static_cast<uint64_t>(draw), out);
}

void ReplayNoise::Draw(Context& ctx, int64_t draw, double /*sigma*/, double /*sigma_next*/,
                       View out) const {
  const int64_t draws = noise_.shape()[0];
  Require(draw < draws, ErrorKind::kShape, "draw {} of noise asked for, but {} are recorded", draw,
          draws);
  const ConstView row = noise_.view().Slice(0, draw, draw + 1);
  Require(row.numel() == out.numel() && row.dtype == DType::kF32, ErrorKind::kShape,
          "recorded noise {} {} does not fit {}", NameOf(row.dtype), row.shape.ToString(),
          out.shape.ToString());
  if (ctx.device == Device::kMeta) return;
  std::memcpy(out.Data<float>(), row.Data<float>(), out.bytes());
}

}  // namespace gesso
