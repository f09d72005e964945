// What of the document and of other pictures lies on the graphics card. Only what changed is sent
// there, and a frame sends no more than a share of it.
#pragma once

#include <map>

#include "ui/platform/platform.h"
#include "ui/state/document.h"

namespace gesso::ui {

// Textures of the tiles of a document that are seen: the layers composed, and the mask (white, its
// strength in alpha).
class TileTextures {
 public:
  explicit TileTextures(Platform& platform) : platform_(platform) {}
  ~TileTextures() { Clear(); }
  TileTextures(const TileTextures&) = delete;
  TileTextures& operator=(const TileTextures&) = delete;

  // Brings the tiles within `seen` (pixels of the picture) up to date. Returns false if some are
  // left for the next frame.
  bool Update(const Document& document, const Box& seen, bool sharp);
  Texture picture(size_t tile) const { return slots_[tile].picture; }  // 0: nothing to draw
  Texture mask(size_t tile) const { return slots_[tile].mask; }

 private:
  // What a tile of the picture was composed of: versions and opacities of its layers.
  using Recipe = std::vector<std::pair<uint64_t, float>>;
  struct Slot {
    Recipe recipe;
    uint64_t mask_version = 0;
    Texture picture = 0;
    Texture mask = 0;
    bool sharp = false;
  };

  void Clear();
  void SetSharp(Slot& slot, bool sharp);
  bool UpdatePicture(const Document& document, size_t index, Slot& slot);
  bool UpdateMask(const Document& document, size_t index, Slot& slot);
  static Recipe RecipeOf(const Document& document, size_t index);

  Platform& platform_;
  int width_ = 0;
  int height_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint8_t> rgba_ = std::vector<uint8_t>(size_t{kTileSide} * kTileSide * 4);
};

// Textures of whole pictures, as long as they are drawn.
class ImageTextures {
 public:
  explicit ImageTextures(Platform& platform) : platform_(platform) {}
  ~ImageTextures();
  ImageTextures(const ImageTextures&) = delete;
  ImageTextures& operator=(const ImageTextures&) = delete;

  Texture Of(const std::shared_ptr<const Image>& image);
  void EndFrame();  // drops those that were not asked for since the last call

 private:
  struct Entry {
    std::shared_ptr<const Image> image;  // keeps the address from being used again
    Texture texture;
    bool is_used;
  };
  Platform& platform_;
  std::map<const Image*, Entry> entries_;
};

}  // namespace gesso::ui
