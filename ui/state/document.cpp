#include "ui/state/document.h"

#include <cstring>

#include "pipelines/mask/over.h"

namespace gesso::ui {

namespace {

constexpr size_t kTilePixels = size_t{kTileSide} * kTileSide;
constexpr int kFull = 255;

void BlendTile(const uint8_t* top, int opacity, uint8_t* rgba) {
  for (size_t i = 0; i < kTilePixels; ++i, top += 4, rgba += 4) {
    const int alpha = (top[3] * opacity + kFull / 2) / kFull;
    if (alpha == kFull) {
      std::memcpy(rgba, top, 4);
    } else if (alpha > 0) {
      PutOver({top, 3}, alpha, rgba);
    }
  }
}

}  // namespace

Layer* Document::Find(uint64_t id) {
  const auto found =
      std::ranges::find(layers, id, [](const Layer& layer) { return layer.info.id; });
  return found == layers.end() ? nullptr : &*found;
}

const Layer* Document::Find(uint64_t id) const { return const_cast<Document*>(this)->Find(id); }

bool Document::operator==(const Document& other) const {
  const bool same_song =
      song == other.song || (song != nullptr && other.song != nullptr && *song == *other.song);
  return same_song && width == other.width && height == other.height && layers == other.layers &&
         mask == other.mask && last_id == other.last_id;
}

bool SharesAll(const Document& a, const Document& b) {
  return a.mask.SharesAllTiles(b.mask) && a.last_id == b.last_id && a.song == b.song &&
         std::ranges::equal(a.layers, b.layers, [](const Layer& one, const Layer& other) {
           return one.info == other.info && one.pixels.SharesAllTiles(other.pixels);
         });
}

void CompositeTile(const Document& document, size_t index, uint8_t* rgba) {
  std::memset(rgba, 0, kTilePixels * 4);
  for (const Layer& layer : document.layers) {
    const TilePtr& tile = layer.pixels.tile(index);
    if (!layer.info.visible || tile == nullptr) continue;
    const auto opacity = static_cast<int>(layer.info.opacity * kFull + 0.5f);
    BlendTile(tile->pixels.data(), opacity, rgba);
  }
}

Image Flatten(const Document& document) {
  TiledImage all(document.width, document.height, 4);
  for (size_t i = 0; i < all.tile_count(); ++i) CompositeTile(document, i, all.MutableTile(i));
  Image rgba = all.ToImage();
  const size_t count = rgba.pixels.size() / 4;
  for (size_t i = 0; i < count; ++i) {
    if (rgba.pixels[4 * i + 3] != kFull) return rgba;
  }
  Image rgb{rgba.width, rgba.height, 3, std::vector<uint8_t>(count * 3)};
  for (size_t i = 0; i < count; ++i) std::memcpy(&rgb.pixels[3 * i], &rgba.pixels[4 * i], 3);
  return rgb;
}

Image ToRgba(const Image& image) {
  if (image.channels == 4) return image;
  const size_t count = image.pixels.size() / static_cast<size_t>(image.channels);
  Image rgba{image.width, image.height, 4, std::vector<uint8_t>(count * 4, 255)};
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      rgba.pixels[4 * i + c] = image.pixels[image.channels == 1 ? i : 3 * i + c];
    }
  }
  return rgba;
}

}  // namespace gesso::ui
