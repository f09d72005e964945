#include "ui/canvas/textures.h"

namespace gesso::ui {

namespace {

// A tile of a few layers takes about a millisecond to compose: half a frame is left for the rest.
constexpr int kTilesAFrame = 8;

}  // namespace

void TileTextures::Clear() {
  for (const Slot& slot : slots_) {
    if (slot.picture != 0) platform_.Drop(slot.picture);
    if (slot.mask != 0) platform_.Drop(slot.mask);
  }
  slots_.clear();
}

bool TileTextures::Update(const Document& document, const Box& seen, bool sharp) {
  if (width_ != document.width || height_ != document.height) {
    Clear();
    width_ = document.width;
    height_ = document.height;
    slots_.resize(document.mask.tile_count());
  }
  int left = kTilesAFrame;
  document.mask.ForEachTile(seen, [&](size_t index, const Box&) {
    Slot& slot = slots_[index];
    if (left > 0) left -= UpdatePicture(document, index, slot) ? 1 : 0;
    if (left > 0) left -= UpdateMask(document, index, slot) ? 1 : 0;
    SetSharp(slot, sharp);
  });
  return left > 0;
}

void TileTextures::SetSharp(Slot& slot, bool sharp) {
  if (slot.sharp == sharp) return;
  slot.sharp = sharp;
  if (slot.picture != 0) platform_.SetSharp(slot.picture, sharp);
  if (slot.mask != 0) platform_.SetSharp(slot.mask, sharp);
}

TileTextures::Recipe TileTextures::RecipeOf(const Document& document, size_t index) {
  Recipe recipe;
  for (const Layer& layer : document.layers) {
    const TilePtr& tile = layer.pixels.tile(index);
    if (tile != nullptr && layer.info.visible) {
      recipe.emplace_back(tile->version, layer.info.opacity);
    }
  }
  return recipe;
}

bool TileTextures::UpdatePicture(const Document& document, size_t index, Slot& slot) {
  Recipe recipe = RecipeOf(document, index);
  if (recipe == slot.recipe) return false;
  slot.recipe = std::move(recipe);
  CompositeTile(document, index, rgba_.data());
  if (slot.picture == 0) {
    slot.picture = platform_.MakeTexture();
    platform_.SetSharp(slot.picture, slot.sharp);
  }
  platform_.Upload(slot.picture, kTileSide, kTileSide, rgba_.data());
  return true;
}

bool TileTextures::UpdateMask(const Document& document, size_t index, Slot& slot) {
  const TilePtr& tile = document.mask.tile(index);
  const uint64_t version = tile == nullptr ? 0 : tile->version;
  if (version == slot.mask_version) return false;
  slot.mask_version = version;
  if (tile == nullptr) {
    platform_.Drop(slot.mask);
    slot.mask = 0;
    return false;
  }
  std::ranges::fill(rgba_, uint8_t{255});
  for (size_t i = 0; i < tile->pixels.size(); ++i) rgba_[4 * i + 3] = tile->pixels[i];
  if (slot.mask == 0) {
    slot.mask = platform_.MakeTexture();
    platform_.SetSharp(slot.mask, slot.sharp);
  }
  platform_.Upload(slot.mask, kTileSide, kTileSide, rgba_.data());
  return true;
}

ImageTextures::~ImageTextures() {
  for (const auto& [key, entry] : entries_) platform_.Drop(entry.texture);
}

Texture ImageTextures::Of(const std::shared_ptr<const Image>& image) {
  if (image == nullptr || image->pixels.empty()) return 0;
  const auto [found, is_new] = entries_.try_emplace(image.get());
  Entry& entry = found->second;
  entry.is_used = true;
  if (is_new) {
    entry.image = image;
    entry.texture = platform_.MakeTexture();
    platform_.Upload(entry.texture, image->width, image->height, ToRgba(*image).pixels.data());
  }
  return entry.texture;
}

void ImageTextures::EndFrame() {
  for (auto item = entries_.begin(); item != entries_.end();) {
    Entry& entry = item->second;
    const bool is_used = std::exchange(entry.is_used, false);
    if (!is_used) platform_.Drop(entry.texture);
    item = is_used ? std::next(item) : entries_.erase(item);
  }
}

}  // namespace gesso::ui
