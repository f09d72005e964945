#include "models/infinity/codes.h"

#include <algorithm>

#include "kernels/binary_code.h"
#include "models/bsq_vae/quantizer.h"

namespace gesso::infinity {

TokenMap CodeMap(const Config& config, const TokenMap& map) {
  return {config.patch() * map.height, config.patch() * map.width};
}

void TokensToBits(Context& ctx, const Config& config, const TokenMap& map, ConstView tokens,
                  View bits) {
  const int64_t pictures = bits.shape[0];
  const Arena::Scope scope(*ctx.arena);
  const View values =
      ctx.arena->Alloc({pictures, map.height, map.width, config.bits()}, DType::kF32);
  Require(tokens.numel() == values.numel(), ErrorKind::kShape,
          "bits of a {} x {} map: expected [{}, {}], got {}", map.height, map.width, pictures,
          map.tokens() * config.bits(), tokens.shape);
  if (ctx.device != Device::kMeta) {
    std::transform(tokens.Data<int32_t>(), tokens.Data<int32_t>() + tokens.numel(),
                   values.Data<float>(), [](int32_t bit) { return static_cast<float>(bit); });
  }
  if (!config.spatial_patchify) {
    SignBits(ctx, {.x = values, .bits = bits});
    return;
  }
  const View shuffled = ctx.arena->Alloc(bits.shape, DType::kF32);
  bsq_vae::PixelShuffle(ctx, values, shuffled);
  SignBits(ctx, {.x = shuffled, .bits = bits});
}

void BitsToTokens(Context& ctx, const Config& config, const TokenMap& map, ConstView bits,
                  View tokens) {
  const int64_t pictures = bits.shape[0];
  const Arena::Scope scope(*ctx.arena);
  const View codes = ctx.arena->Alloc(bits.shape, DType::kF32);
  BitCodes(ctx, {.bits = bits, .codes = codes});
  View values = codes;
  if (config.spatial_patchify) {
    values = ctx.arena->Alloc({pictures, map.height, map.width, config.bits()}, DType::kF32);
    bsq_vae::PixelUnshuffle(ctx, codes, values);
  }
  Require(tokens.numel() == values.numel(), ErrorKind::kShape,
          "bits of a {} x {} map: expected [{}, {}], got {}", map.height, map.width, pictures,
          map.tokens() * config.bits(), tokens.shape);
  if (ctx.device == Device::kMeta) return;
  std::transform(values.Data<float>(), values.Data<float>() + values.numel(),
                 tokens.Data<int32_t>(), [](float code) { return code > 0 ? 1 : 0; });
}

void NextInput(Context& ctx, const Config& config, const TokenMap& map, ConstView summed,
               View input) {
  const int64_t pictures = summed.shape[0];
  const View on_map = input.Reshape({pictures, map.height, map.width, config.bits()});
  if (!config.spatial_patchify) {
    bsq_vae::NextInput(ctx, summed, on_map);
    return;
  }
  const Arena::Scope scope(*ctx.arena);
  const TokenMap codes = CodeMap(config, map);
  const View resized =
      ctx.arena->Alloc({pictures, codes.height, codes.width, config.codebook_dim}, DType::kF32);
  bsq_vae::NextInput(ctx, summed, resized);
  bsq_vae::PixelUnshuffle(ctx, resized, on_map);
}

}  // namespace gesso::infinity
