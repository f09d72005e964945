#include "models/bsq_vae/quantizer.h"

#include <array>
#include <cmath>

#include "kernels/binary_code.h"
#include "kernels/elementwise.h"
#include "kernels/resize.h"
#include "kernels/token.h"

namespace gesso::bsq_vae {

namespace {

void CheckBits(ConstView bits, ConstView summed) {
  const Shape& s = summed.shape;
  Require(bits.shape.rank() == 4 && s.rank() == 4 && bits.shape[0] == s[0] &&
              bits.shape[3] == s[3] && bits.dtype == DType::kU8,
          ErrorKind::kShape, "expected uint8 bits [B, h, w, D] for a map {}, got {} {}", s,
          NameOf(bits.dtype), bits.shape);
}

// Calls body(map, token) for the four pixels of each token: views [B, h, w, D] of the same shape.
template <bool kMapConst, bool kTokenConst, class Body>
void ForEachPixel(BasicView<kMapConst> map, BasicView<kTokenConst> tokens, const Body& body) {
  const Shape& t = tokens.shape;
  Require(map.shape == Shape({t[0], 2 * t[1], 2 * t[2], t[3] / 4}) && t[3] % 4 == 0,
          ErrorKind::kShape, "a map {} does not fit tokens {} of 2 x 2", map.shape, t);
  const Shape each = {t[0], t[1], t[2], t[3] / 4};
  for (int64_t dy = 0; dy < 2; ++dy) {
    for (int64_t dx = 0; dx < 2; ++dx) {
      BasicView<kMapConst> pixels = map.Slice(1, dy, dy + 1).Slice(2, dx, dx + 1);
      pixels.shape = each;
      pixels.strides[1] *= 2;
      pixels.strides[2] *= 2;
      BasicView<kTokenConst> channels = tokens.Slice(3, dy * 2 + dx, dy * 2 + dx + 1);
      channels.shape = each;
      channels.strides[3] *= 4;
      body(pixels, channels);
    }
  }
}

}  // namespace

void AccumulateBits(Context& ctx, bool first, ConstView bits, View summed) {
  CheckBits(bits, summed);
  const Arena::Scope scope(*ctx.arena);
  const View codes = ctx.arena->Alloc(bits.shape, DType::kF32);
  const float magnitude = 1 / std::sqrt(static_cast<float>(bits.shape[3]));
  BitCodes(ctx, {.bits = bits, .magnitude = magnitude, .codes = codes});
  View enlarged = codes;
  if (!(codes.shape == summed.shape)) {
    enlarged = ctx.arena->Alloc(summed.shape, DType::kF32);
    Resize(ctx, {.x = codes, .resampling = Resampling::kBilinear, .out = enlarged});
  }
  const std::array<Term, 2> sum = {{{1, enlarged}, {1, summed}}};
  LinearCombination(ctx, {.terms = std::span(sum).first(first ? 1 : 2), .out = summed});
}

void NextInput(Context& ctx, ConstView summed, View next) {
  Resize(ctx, {.x = summed, .resampling = Resampling::kBilinear, .out = next});
}

void EncodeBits(Context& ctx, ConstView h, std::span<const View> bits, View summed) {
  Require(!bits.empty() && h.shape == summed.shape && bits.back().shape == h.shape,
          ErrorKind::kShape, "the last bits must be like h {}", h.shape);
  const Arena::Scope scope(*ctx.arena);
  const View rest = ctx.arena->Alloc(h.shape, DType::kF32);
  for (size_t scale = 0; scale < bits.size(); ++scale) {
    CheckBits(bits[scale], summed);
    const Arena::Scope inner(*ctx.arena);
    const bool first = scale == 0;
    if (!first) {
      const std::array<Term, 2> difference = {{{1, h}, {-1, summed}}};
      LinearCombination(ctx, {.terms = difference, .out = rest});
    }
    const View small = ctx.arena->Alloc(bits[scale].shape, DType::kF32);
    Resize(ctx, {.x = first ? h : ConstView(rest), .resampling = Resampling::kArea, .out = small});
    SignBits(ctx, {.x = small, .bits = bits[scale]});
    AccumulateBits(ctx, first, bits[scale], summed);
  }
}

void DecodeBits(Context& ctx, std::span<const ConstView> bits, View summed) {
  Require(!bits.empty(), ErrorKind::kUsage, "there are no bits to decode");
  for (size_t scale = 0; scale < bits.size(); ++scale) {
    AccumulateBits(ctx, scale == 0, bits[scale], summed);
  }
}

void PixelUnshuffle(Context& ctx, ConstView x, View out) {
  ForEachPixel(x, out, [&](ConstView pixels, View channels) {
    SpaceDepth(ctx, {.x = pixels, .block_h = 1, .block_w = 1, .out = channels});
  });
}

void PixelShuffle(Context& ctx, ConstView x, View out) {
  ForEachPixel(out, x, [&](View pixels, ConstView channels) {
    SpaceDepth(ctx, {.x = channels, .block_h = 1, .block_w = 1, .out = pixels});
  });
}

}  // namespace gesso::bsq_vae
