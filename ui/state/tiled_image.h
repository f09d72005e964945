// A picture cut into tiles that copies share until one of them is written to. Copying a picture of
// any size costs a list of pointers: that is how undo steps and snapshots for other threads are
// taken.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "pipelines/engine.h"
#include "ui/state/geometry.h"

namespace gesso::ui {

constexpr int kTileSide = 256;

uint64_t NewId();  // never the same twice, never 0

struct Tile {
  uint64_t owner = 0;                // the picture that may write to it; 0: none
  uint64_t version = NewId();        // changes with the pixels, and no two tiles share one
  std::vector<uint8_t> pixels = {};  // [kTileSide][kTileSide][channels]
  // Twice the version of which it was last asked whether all is zero, and 1 if so.
  mutable std::atomic<uint64_t> zero_memo = 0;
};
// nullptr: all zero.
using TilePtr = std::shared_ptr<const Tile>;

class TiledImage {
 public:
  TiledImage() = default;
  TiledImage(int width, int height, int channels);  // all zero
  explicit TiledImage(const Image& image);
  // Both sides lose the right to write to the tiles that there are: each makes its own copy of a
  // tile first. Not to be called on two threads for one source.
  TiledImage(const TiledImage& other);
  TiledImage& operator=(const TiledImage& other);
  TiledImage(TiledImage&&) = default;
  TiledImage& operator=(TiledImage&&) = default;
  ~TiledImage() = default;

  int width() const { return width_; }
  int height() const { return height_; }
  int channels() const { return channels_; }
  Box bounds() const { return {0, 0, width_, height_}; }
  bool SameShape(const TiledImage& other) const;
  // Whether both are surely the same, without a look at bytes: equal tiles may be different copies.
  bool SharesAllTiles(const TiledImage& other) const;

  size_t tile_count() const { return tiles_.size(); }
  const TilePtr& tile(size_t index) const { return tiles_[index]; }
  void SetTile(size_t index, TilePtr tile) { tiles_[index] = std::move(tile); }
  // The tile for writing: [kTileSide][kTileSide][channels]. What lies outside bounds() stays zero.
  uint8_t* MutableTile(size_t index);
  Box TileBox(size_t index) const;  // within bounds()
  // Calls visit(index, box) for the tiles that meet `box`, with the part of it that they hold.
  template <class Visitor>
  void ForEachTile(const Box& box, const Visitor& visit) const;

  // [channels], or nullptr where all is zero. (x, y) within bounds().
  const uint8_t* At(int x, int y) const;
  // Looks only at tiles that have changed since the last time.
  bool IsZero() const;
  // The smallest box around everything that is not zero.
  Box UsedBox() const;
  Image ToImage() const;
  // Puts the bytes of `image` at (left, top); what falls outside is left out. Tiles whose bytes
  // would not change stay shared.
  void Paste(const Image& image, int left, int top);

  // Equal shape and bytes.
  bool operator==(const TiledImage& other) const;

 private:
  int columns() const { return (width_ + kTileSide - 1) / kTileSide; }

  int width_ = 0;
  int height_ = 0;
  int channels_ = 1;
  mutable uint64_t id_ = 0;  // of this version: owner of the tiles that may be written to
  std::vector<TilePtr> tiles_;
};

template <class Visitor>
void TiledImage::ForEachTile(const Box& box, const Visitor& visit) const {
  const Box inside = Intersection(box, bounds());
  if (inside.empty()) return;
  for (int row = inside.top / kTileSide; row <= (inside.bottom - 1) / kTileSide; ++row) {
    for (int column = inside.left / kTileSide; column <= (inside.right - 1) / kTileSide; ++column) {
      const auto index = static_cast<size_t>(row * columns() + column);
      visit(index, Intersection(inside, TileBox(index)));
    }
  }
}

// Offset of pixel (x, y) of the picture within the tile that holds it.
inline size_t OffsetInTile(int x, int y, int channels) {
  return static_cast<size_t>(((y % kTileSide) * kTileSide + x % kTileSide) * channels);
}

}  // namespace gesso::ui
