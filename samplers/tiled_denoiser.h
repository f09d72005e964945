// Pictures larger than a network was trained on, tile by tile: every estimate is put together from
// those of overlapping tiles, and once it is decided what is where the tiles lie elsewhere at every
// noise level.
// Papers: Bar-Tal et al. 2023, "MultiDiffusion: fusing diffusion paths for controlled image
// generation"; Zheng et al. 2023, "Any-Size-Diffusion: toward efficient text-driven synthesis for
// any-size HD images", section 3.3 (shifted windows). Noise is the whole picture's own.
#pragma once

#include "samplers/denoiser.h"

namespace gesso {

struct TileGrid {
  int64_t height = 0;   // of a tile; a smaller picture's tiles are as high as it is
  int64_t width = 0;    // likewise
  int64_t overlap = 0;  // of neighbours, at least; less than a tile's sides
};

// The tiles along a side of `side` pixels, moved by `shift`, and cut off by the border.
class TileRow {
 public:
  // shift in 0 .. tile - overlap - 1.
  TileRow(int64_t side, int64_t tile, int64_t overlap, int64_t shift);

  int64_t tile() const { return tile_; }
  int64_t count() const { return count_; }
  int64_t Begin(int64_t index) const;
  // What tile `index` shares with the one before it.
  int64_t Shared(int64_t index) const;

 private:
  int64_t side_;
  int64_t tile_;
  int64_t step_;
  int64_t shift_;
  int64_t count_;
};

class TiledDenoiser : public Denoiser {
 public:
  // `inner` denoises pictures [B, C, grid.height, grid.width], or smaller where the picture is.
  // Keeps a reference to it. Throws kUsage for an overlap that leaves nothing of a tile.
  TiledDenoiser(Denoiser& inner, const TileGrid& grid);

  // x [B, C, H, W] f32. The place of the tiles is a function of sigma alone; above 1 they stay
  // where they are. An estimate of which every pixel depends on that pixel alone comes out as it
  // would in one piece.
  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  Denoiser& inner_;
  TileGrid grid_;
};

}  // namespace gesso
