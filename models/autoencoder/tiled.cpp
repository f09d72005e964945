#include "models/autoencoder/tiled.h"

#include <algorithm>

#include "kernels/blend.h"
#include "kernels/elementwise.h"
#include "kernels/token.h"

namespace gesso::autoencoder {

namespace {

// The tiles along one side.
struct Row {
  int64_t side;   // of the whole
  int64_t tile;   // of each tile
  int64_t count;  // of tiles

  Row(int64_t whole, const Tiling& tiling) : side(whole), tile(std::min(tiling.tile, whole)) {
    const int64_t step = tiling.tile - tiling.overlap;
    count = 1 + (side - tile + step - 1) / step;
  }
  int64_t Begin(int64_t index) const {
    return count == 1 ? 0 : (side - tile) * index / (count - 1);
  }
  // What tile `index` shares with the one before it.
  int64_t Shared(int64_t index) const {
    return index == 0 ? 0 : Begin(index - 1) + tile - Begin(index);
  }
};

}  // namespace

void DecodeTiled(Context& ctx, const Decoder& decoder, DType activation, ConstView latents,
                 const Tiling& tiling, View picture) {
  Require(
      tiling.tile >= 0 && tiling.overlap >= 0 && (tiling.tile == 0 || tiling.overlap < tiling.tile),
      ErrorKind::kUsage, "tiles of {} cannot overlap by {}", tiling.tile, tiling.overlap);
  const Shape whole = decoder.PictureShape(latents.shape);
  Require(picture.shape == whole, ErrorKind::kShape, "expected a picture {}, got {}", whole,
          picture.shape);
  const int64_t height = latents.shape[1];
  const int64_t width = latents.shape[2];
  if (tiling.tile == 0 || (height <= tiling.tile && width <= tiling.tile)) {
    return decoder.Forward(ctx, activation, latents, picture);
  }
  const Row down(height, tiling);
  const Row across(width, tiling);
  const int64_t stride = decoder.config().stride();
  const int64_t batch = latents.shape[0];
  const Arena::Scope scope(*ctx.arena);
  const View cut = ctx.arena->Alloc({batch, down.tile, across.tile, latents.shape[3]}, DType::kF32);
  const View tile = ctx.arena->Alloc(decoder.PictureShape(cut.shape), DType::kF32);
  const View strip = ctx.arena->Alloc({batch, whole[1], down.tile * stride, whole[3]}, DType::kF32);
  for (int64_t i = 0; i < down.count; ++i) {
    const ConstView band = latents.Slice(1, down.Begin(i), down.Begin(i) + down.tile);
    for (int64_t j = 0; j < across.count; ++j) {
      const int64_t begin = across.Begin(j);
      SpaceDepth(
          ctx,
          {.x = band.Slice(2, begin, begin + across.tile), .block_h = 1, .block_w = 1, .out = cut});
      decoder.Forward(ctx, activation, cut, tile);
      FadeIn(ctx, {.x = tile,
                   .columns = across.Shared(j) * stride,
                   .out = strip.Slice(3, begin * stride, (begin + across.tile) * stride)});
    }
    const int64_t top = down.Begin(i) * stride;
    FadeIn(ctx, {.x = strip,
                 .rows = down.Shared(i) * stride,
                 .out = picture.Slice(2, top, top + down.tile * stride)});
  }
}

void DecodePicture(Context& ctx, const Decoder& decoder, DType activation, ConstView latents,
                   const Tiling& tiling, View picture) {
  DecodeTiled(ctx, decoder, activation, latents, tiling, picture);
  const Term pixels = {1, picture};
  LinearCombination(ctx, {.terms = {&pixels, 1}, .low = -1, .high = 1, .out = picture});
}

}  // namespace gesso::autoencoder
