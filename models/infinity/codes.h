// Between the transformer's tokens and the tokenizer's bits: the order of a token's bits, and the
// 2 x 2 patches of models with spatial patchify.
//
// Official: FoundationVision/Infinity
// infinity/models/infinity.py:Infinity.autoregressive_infer_cfg.
#pragma once

#include "models/hooks.h"
#include "models/infinity/config.h"

namespace gesso::infinity {

// The tokenizer's map behind a map of the transformer.
TokenMap CodeMap(const Config& config, const TokenMap& map);

// tokens [B, N * bits] i32, 0 or 1, of `map` to bits [B, h, w, codebook_dim] u8 on the code map.
void TokensToBits(Context& ctx, const Config& config, const TokenMap& map, ConstView tokens,
                  View bits);

// The other way round: bits that are known, e.g. of a picture to go on from.
void BitsToTokens(Context& ctx, const Config& config, const TokenMap& map, ConstView bits,
                  View tokens);

// What the transformer is given at `map`: summed codes [B, H, W, codebook_dim] f32, resized, as
// input [B, N, bits] f32.
void NextInput(Context& ctx, const Config& config, const TokenMap& map, ConstView summed,
               View input);

}  // namespace gesso::infinity
