#include "samplers/noise.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/rng.h"

namespace gesso {

namespace {

// Streams of a seed's random numbers: 0 for the start, 1 + draw for independent draws; frames and
// Brownian noise (brownian.cpp) mark their own with the upper bits.
constexpr uint64_t kStartStream = 0;
constexpr uint64_t kFrameBit = uint64_t{1} << 61;

NoiseDraw DrawOf(std::span<const uint64_t> seeds, uint64_t stream) {
  NoiseDraw noise{.seeds = seeds, .count = 1};
  noise.streams[0] = {1, stream};
  return noise;
}

}  // namespace

void AddUp(Context& ctx, std::span<const Term> terms, double amount, const NoiseDraw& noise,
           View out) {
  const auto coefficient = static_cast<float>(amount);
  if (noise.recorded.empty()) {
    CHECK(out.shape[0] == static_cast<int64_t>(noise.seeds.size()));
    return LinearCombination(ctx,
                             {.terms = terms,
                              .out = out,
                              .noise = {.coefficient = coefficient,
                                        .seeds = noise.seeds,
                                        .streams = std::span(noise.streams).first(noise.count)}});
  }
  Require(noise.recorded.numel() == out.numel() && noise.recorded.dtype == DType::kF32,
          ErrorKind::kShape, "recorded noise {} {} does not fit {}", NameOf(noise.recorded.dtype),
          noise.recorded.shape.ToString(), out.shape.ToString());
  std::array<Term, 8> all;
  CHECK(terms.size() < all.size());
  std::ranges::copy(terms, all.begin());
  all[terms.size()] = {coefficient, noise.recorded.Reshape(out.shape)};
  LinearCombination(ctx, {.terms = std::span(all).first(terms.size() + 1), .out = out});
}

void DrawStart(Context& ctx, std::span<const uint64_t> seeds, View out) {
  AddUp(ctx, {}, 1, DrawOf(seeds, kStartStream), out);
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

NoiseDraw PhiloxNoise::Draw(int64_t draw, double /*sigma*/, double /*sigma_next*/) const {
  return DrawOf(seeds_, kStartStream + 1 + static_cast<uint64_t>(draw));
}

NoiseDraw ReplayNoise::Draw(int64_t draw, double /*sigma*/, double /*sigma_next*/) const {
  const int64_t draws = noise_.shape()[0];
  Require(draw < draws, ErrorKind::kShape, "draw {} of noise asked for, but {} are recorded", draw,
          draws);
  return {.recorded = noise_.view().Slice(0, draw, draw + 1)};
}

}  // namespace gesso
