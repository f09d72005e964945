// What a person works on: layers of pictures and a mask, or a song whose roll the layers show. A
// plain value; copies share their tiles.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipelines/media/midi/piano_roll.h"
#include "ui/state/tiled_image.h"

namespace gesso::ui {

struct LayerInfo {
  uint64_t id = 0;
  std::string name;
  float opacity = 1;  // 0 .. 1
  bool visible = true;
  std::optional<Request> request = std::nullopt;  // that made it
  std::optional<RollLayer> notes = std::nullopt;  // of a song, which it shows
  bool operator==(const LayerInfo&) const = default;
};

struct Layer {
  LayerInfo info;
  TiledImage pixels;  // RGBA, not premultiplied, of the document's size
  bool operator==(const Layer&) const = default;
};

struct Document {
  Document() = default;
  Document(int width_, int height_) : width(width_), height(height_), mask(width_, height_, 1) {}

  int width = 0;
  int height = 0;
  std::vector<Layer> layers;  // from the bottom to the top
  TiledImage mask;            // grey: 0 keeps, 255 paints
  uint64_t last_id = 0;       // of layers
  // Its notes are in the layers, which nobody paints in: what changes the song draws them anew.
  std::shared_ptr<const MidiFile> song = nullptr;

  bool empty() const { return width == 0; }
  Layer* Find(uint64_t id);
  const Layer* Find(uint64_t id) const;
  bool operator==(const Document& other) const;
};

// Whether nothing was changed from one to the other: equal layers, and tiles that are the same
// memory.
bool SharesAll(const Document& a, const Document& b);

// The visible layers over each other: [kTileSide][kTileSide] RGBA of one tile. Where a single
// opaque pixel decides, its bytes come through unchanged.
void CompositeTile(const Document& document, size_t index, uint8_t* rgba);

// The whole picture: RGB where every pixel is opaque, else RGBA.
Image Flatten(const Document& document);

// RGBA of a grey, RGB or RGBA picture.
Image ToRgba(const Image& image);

}  // namespace gesso::ui
