#include "samplers/noise.h"

#include <cstring>

#include "kernels/core/rng.h"
#include "kernels/noise.h"

namespace gesso {

namespace {

// Streams of a seed's random numbers: 0 for the start, 1 + draw for independent draws; frames and
// Brownian noise (brownian.cpp) mark their own with the upper bits.
constexpr uint64_t kStartStream = 0;
constexpr uint64_t kFrameBit = uint64_t{1} << 61;

void FillPictures(Context& ctx, std::span<const uint64_t> seeds, uint64_t stream, View out) {
  CHECK(out.shape[0] == static_cast<int64_t>(seeds.size()));
  if (ctx.device == Device::kMeta) return;
  for (int64_t b = 0; b < out.shape[0]; ++b) {
    const NormalTerm term = {1, stream};
    DrawNormal(ctx, {.seed = seeds[static_cast<size_t>(b)],
                     .terms = std::span(&term, 1),
                     .out = out.Slice(0, b, b + 1)});
  }
}

}  // namespace

void DrawStart(Context& ctx, std::span<const uint64_t> seeds, View out) {
  FillPictures(ctx, seeds, kStartStream, out);
}

void DrawFrames(Context& ctx, uint64_t seed, std::span<const int64_t> frames, View out) {
  CHECK(out.shape.rank() == 5 && out.shape[0] == 1);
  CHECK(out.shape[2] == static_cast<int64_t>(frames.size()));
  if (ctx.device == Device::kMeta) return;
  const int64_t area = out.shape[3] * out.shape[4];
  Tensor frame({out.shape[1], area}, DType::kF32);
  for (int64_t t = 0; t < out.shape[2]; ++t) {
    FillNormal(frame.mutable_view(), seed,
               kFrameBit | static_cast<uint64_t>(frames[static_cast<size_t>(t)]));
    for (int64_t c = 0; c < out.shape[1]; ++c) {
      std::memcpy(out.Data<float>() + (c * out.shape[2] + t) * area, frame.Data<float>() + c * area,
                  static_cast<size_t>(area) * sizeof(float));
    }
  }
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
