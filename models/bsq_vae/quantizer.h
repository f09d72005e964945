// The multi-scale binary quantiser of Infinity: a latent map as maps of bits of growing size, each
// of which codes the signs of what the smaller ones left over. It has no weights; all in float32,
// channels last, one bit a channel.
//
// Official: FoundationVision/Infinity
// infinity/models/bsq_vae/multiscale_bsq.py:MultiScaleBSQ.
#pragma once

#include <span>

#include "models/bsq_vae/config.h"

namespace gesso::bsq_vae {

// summed [B, H, W, D] += bilinear(codes), codes = +-1 / sqrt(D) of bits [B, h, w, D] u8. The first
// scale sets it instead. Where h, w are H, W nothing is resized.
void AccumulateBits(Context& ctx, bool first, ConstView bits, View summed);

// What a transformer gets to predict the next scale from: next [B, h, w, D] = bilinear(summed).
void NextInput(Context& ctx, ConstView summed, View next);

// bits[k] [B, h_k, w_k, D] u8 of h [B, H, W, D] f32 on the maps that the bits' shapes give, the
// last of which is H x W, and the sum of their codes, summed [B, H, W, D].
void EncodeBits(Context& ctx, ConstView h, std::span<const View> bits, View summed);

// summed [B, H, W, D] of all bits[k] [B, h_k, w_k, D].
void DecodeBits(Context& ctx, std::span<const ConstView> bits, View summed);

// Spatial patchify: the transformer of a model with 8-pixel tokenizer patches sees 2 x 2 of them as
// one token. out [B, h / 2, w / 2, 4 D], channel c * 4 + dy * 2 + dx from x [B, h, w, D] f32: the
// order of torch.nn.functional.pixel_unshuffle; the inverse is pixel_shuffle.
void PixelUnshuffle(Context& ctx, ConstView x, View out);
void PixelShuffle(Context& ctx, ConstView x, View out);

}  // namespace gesso::bsq_vae
