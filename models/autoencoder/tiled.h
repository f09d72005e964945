// Decoding a large picture tile by tile, in the memory of one tile.
//
// A tile is decoded as if it were the whole picture: GroupNorm takes its statistics from the tile
// and attention does not look out of it. Colours and contrast therefore differ a little from those
// of the whole picture and from tile to tile, which the wide fades hide; only one tile that covers
// everything gives exactly the same picture. Official code of the field does the same, e.g.
// huggingface/diffusers models/autoencoders/autoencoder_kl.py:AutoencoderKL.tiled_decode.
#pragma once

#include "models/autoencoder/decoder.h"

namespace gesso::autoencoder {

// In latent pixels. Tiles are as even as can be: the smallest number that keeps the overlap.
struct Tiling {
  int64_t tile = 0;     // side; 0: the whole picture at once
  int64_t overlap = 0;  // of neighbours, at least; < tile
};

// Decoder::Forward, tile by tile where the latents [B, h, w, Z] are larger than a tile. Throws
// kUsage for a tiling that makes no sense.
void DecodeTiled(Context& ctx, const Decoder& decoder, DType activation, ConstView latents,
                 const Tiling& tiling, View picture);

// The same, clamped to [-1, 1].
void DecodePicture(Context& ctx, const Decoder& decoder, DType activation, ConstView latents,
                   const Tiling& tiling, View picture);

}  // namespace gesso::autoencoder
