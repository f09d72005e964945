#include "ui/state/history.h"

namespace gesso::ui {

namespace {

const TiledImage* PixelsOf(const Document& document, uint64_t id) {
  const Layer* layer = document.Find(id);
  return layer != nullptr ? &layer->pixels : nullptr;
}

}  // namespace

bool History::Push(std::string name, const Document& before, const Document& after) {
  if (SharesAll(before, after)) return false;
  steps_.resize(position_);
  steps_.push_back({std::move(name), DeltaOf(before, after)});
  position_ = steps_.size();
  return true;
}

std::optional<std::string> History::Undo(Document& document) {
  if (!can_undo()) return std::nullopt;
  const std::string name = Cross(position_ - 1, document);
  --position_;
  return name;
}

std::optional<std::string> History::Redo(Document& document) {
  if (!can_redo()) return std::nullopt;
  const std::string name = Cross(position_, document);
  ++position_;
  return name;
}

void History::Clear() {
  steps_.clear();
  position_ = 0;
}

std::string History::Cross(size_t step, Document& document) {
  Document target = Apply(steps_[step].delta, document);
  steps_[step].delta = DeltaOf(document, target);
  document = std::move(target);
  return steps_[step].name;
}

History::ImageDelta History::DeltaOf(const TiledImage& target, const TiledImage* base) {
  ImageDelta delta{.is_new = base == nullptr || !target.SameShape(*base), .tiles = {}};
  for (size_t i = 0; i < target.tile_count(); ++i) {
    const TilePtr& tile = target.tile(i);
    if (tile == (delta.is_new ? nullptr : base->tile(i))) continue;
    delta.tiles.emplace_back(i, vault_.Put(tile));
  }
  return delta;
}

History::Delta History::DeltaOf(const Document& target, const Document& base) {
  Delta delta{target.width, target.height, target.last_id, target.song, {}, {}, {}};
  for (const Layer& layer : target.layers) {
    delta.layers.push_back(layer.info);
    delta.pixels.push_back(DeltaOf(layer.pixels, PixelsOf(base, layer.info.id)));
  }
  delta.mask = DeltaOf(target.mask, &base.mask);
  return delta;
}

TiledImage History::Apply(const ImageDelta& delta, const TiledImage* base,
                          const TiledImage& shape) const {
  TiledImage image = delta.is_new ? shape : *base;
  for (const auto& [index, ticket] : delta.tiles) image.SetTile(index, vault_.Get(ticket));
  return image;
}

Document History::Apply(const Delta& delta, const Document& base) const {
  Document document(delta.width, delta.height);
  document.last_id = delta.last_id;
  document.song = delta.song;
  document.mask = Apply(delta.mask, &base.mask, document.mask);
  const TiledImage shape(delta.width, delta.height, 4);
  for (size_t i = 0; i < delta.layers.size(); ++i) {
    const TiledImage* pixels = PixelsOf(base, delta.layers[i].id);
    document.layers.push_back({delta.layers[i], Apply(delta.pixels[i], pixels, shape)});
  }
  return document;
}

}  // namespace gesso::ui
