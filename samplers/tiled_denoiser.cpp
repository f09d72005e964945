#include "samplers/tiled_denoiser.h"

#include <algorithm>
#include <cmath>

#include "kernels/blend.h"

namespace gesso {

namespace {

// Turns of the grid an octave of noise, for rows and columns. Neighbouring levels then lie far
// apart, and nowhere do the borders of tiles come to the same place again and again.
constexpr double kTurnsDown = 5.618033988749895;
constexpr double kTurnsAcross = 7.414213562373095;
// While there is more noise than this, with pixels from -1 to 1, it is decided what is where, and
// tiles that moved would put every thing to many places.
constexpr double kComposed = 1;

int64_t ShiftAt(double sigma, double turns, int64_t step) {
  if (sigma > kComposed || sigma <= 0) return 0;
  const double phase = turns * std::log2(sigma);
  const auto shift = static_cast<int64_t>((phase - std::floor(phase)) * static_cast<double>(step));
  return std::min(shift, step - 1);
}

void Copy(Context& ctx, ConstView from, View to) { FadeIn(ctx, {.x = from, .out = to}); }

}  // namespace

TileRow::TileRow(int64_t side, int64_t tile, int64_t overlap, int64_t shift)
    : side_(side), tile_(std::min(tile, side)), step_(tile - overlap), shift_(shift) {
  CHECK(step_ > 0 && shift >= 0 && shift < step_);
  count_ = side_ == tile_ ? 1 : 1 + (side_ - tile_ + shift_ + step_ - 1) / step_;
}

int64_t TileRow::Begin(int64_t index) const {
  return std::clamp<int64_t>(index * step_ - shift_, 0, side_ - tile_);
}

int64_t TileRow::Shared(int64_t index) const {
  return index == 0 ? 0 : Begin(index - 1) + tile_ - Begin(index);
}

TiledDenoiser::TiledDenoiser(Denoiser& inner, const TileGrid& grid) : inner_(inner), grid_(grid) {
  Require(grid.overlap >= 0 && grid.overlap < std::min(grid.height, grid.width), ErrorKind::kUsage,
          "tiles of {} x {} cannot overlap by {}", grid.width, grid.height, grid.overlap);
}

void TiledDenoiser::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  const Shape& s = x.shape;
  const int64_t step_down = grid_.height - grid_.overlap;
  const int64_t step_across = grid_.width - grid_.overlap;
  const TileRow down(s[2], grid_.height, grid_.overlap, ShiftAt(sigma, kTurnsDown, step_down));
  const TileRow across(s[3], grid_.width, grid_.overlap, ShiftAt(sigma, kTurnsAcross, step_across));
  const Arena::Scope scope(*ctx.arena);
  const Shape shape = {s[0], s[1], down.tile(), across.tile()};
  const View cut = ctx.arena->Alloc(shape, DType::kF32);
  const View tile = ctx.arena->Alloc(shape, DType::kF32);
  const View strip = ctx.arena->Alloc({s[0], s[1], down.tile(), s[3]}, DType::kF32);
  const bool dry = ctx.device == Device::kMeta;  // all tiles take the same memory
  for (int64_t i = 0; i < (dry ? 1 : down.count()); ++i) {
    const int64_t top = down.Begin(i);
    const ConstView band = x.Slice(2, top, top + down.tile());
    for (int64_t j = 0; j < (dry ? 1 : across.count()); ++j) {
      const int64_t left = across.Begin(j);
      Copy(ctx, band.Slice(3, left, left + across.tile()), cut);
      inner_.Denoise(ctx, cut, sigma, tile);
      FadeIn(ctx, {.x = tile,
                   .columns = across.Shared(j),
                   .out = strip.Slice(3, left, left + across.tile())});
    }
    FadeIn(ctx,
           {.x = strip, .rows = down.Shared(i), .out = denoised.Slice(2, top, top + down.tile())});
  }
}

}  // namespace gesso
