#include "pipelines/mask/over.h"

#include <algorithm>
#include <cstring>

namespace gesso {

namespace {

constexpr int kFull = 255;

// How much of a pixel is from the layer, and from below it, in 255ths of 255ths.
struct Shares {
  Shares(int paint, int alpha_below) : over(paint * kFull), under(alpha_below * (kFull - paint)) {}
  int over;
  int under;

  int sum() const { return over + under; }
  int alpha() const { return (sum() + kFull / 2) / kFull; }
};

}  // namespace

void PutOver(std::span<const uint8_t> painted, int paint, uint8_t* pixel) {
  if (paint == 0) return;
  const Shares shares(paint, pixel[3]);
  for (size_t c = 0; c < 3; ++c) {
    const int colour = painted[painted.size() == 1 ? 0 : c];
    const int mixed = pixel[c] * shares.under + colour * shares.over;
    pixel[c] = static_cast<uint8_t>((mixed + shares.sum() / 2) / shares.sum());
  }
  pixel[3] = static_cast<uint8_t>(shares.alpha());
}

void TakeApart(const uint8_t* below, uint8_t* pixel) {
  if (below[3] == 0 || pixel[3] == kFull) return;
  const auto hide = [&] { std::memset(pixel, 0, 4); };
  if (std::memcmp(below, pixel, 4) == 0) return hide();
  int paint = 0;  // the largest that makes this alpha: its colour has most to say
  for (int bit = 128; bit > 0; bit /= 2) {
    if (Shares(paint + bit, below[3]).alpha() <= pixel[3]) paint += bit;
  }
  if (paint == 0) return hide();
  const Shares shares(paint, below[3]);
  for (size_t c = 0; c < 3; ++c) {
    // The nearest comes out of PutOver's rounding as it went in.
    const int over = pixel[c] * shares.sum() - below[c] * shares.under;
    pixel[c] = static_cast<uint8_t>(std::clamp((over + shares.over / 2) / shares.over, 0, kFull));
  }
  pixel[3] = static_cast<uint8_t>(paint);
}

}  // namespace gesso
