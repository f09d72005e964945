#include "ui/actions/layer_actions.h"

#include <algorithm>
#include <cstring>

#include "pipelines/mask/over.h"

namespace gesso::ui {

namespace {

uint64_t Push(Document& document, TiledImage pixels, LayerInfo info) {
  info.id = ++document.last_id;
  document.layers.push_back({std::move(info), std::move(pixels)});
  return document.last_id;
}

void RequirePicture(const Document& document, std::string_view what) {
  Require(
      document.song == nullptr, ErrorKind::kUsage,
      "{}: the layers of a song are its notes, and colours cannot be saved as such; draw a mask "
      "and paint, or open the song's picture (.png)",
      what);
}

}  // namespace

Document OpenAsDocument(const Image& image, const std::string& name) {
  Document document(image.width, image.height);
  AddLayer(document, image, {.name = name});
  return document;
}

uint64_t AddLayer(Document& document, const Image& image, LayerInfo info) {
  RequirePicture(document, "a new layer");
  TiledImage pixels(document.width, document.height, 4);
  pixels.Paste(ToRgba(image), (document.width - image.width) / 2,
               (document.height - image.height) / 2);
  return Push(document, std::move(pixels), std::move(info));
}

uint64_t AddPaintedLayer(Document& document, const Image& image, const Document& before,
                         LayerInfo info) {
  CHECK(image.width == before.width && image.height == before.height);
  Image rgba = ToRgba(image);
  const Image old = ToRgba(Flatten(before));
  const Image mask = before.mask.ToImage();
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    uint8_t* pixel = &rgba.pixels[4 * i];
    const uint8_t* below = &old.pixels[4 * i];
    if (mask.pixels[i] == 0 && std::memcmp(pixel, below, 4) == 0) {
      std::memset(pixel, 0, 4);
    } else {
      // What shows through from below is in the result already.
      TakeApart(below, pixel);
    }
  }
  return AddLayer(document, rgba, std::move(info));
}

void RemoveLayer(Document& document, uint64_t id) {
  RequirePicture(document, "a layer less");
  std::erase_if(document.layers, [&](const Layer& layer) { return layer.info.id == id; });
}

void MoveLayer(Document& document, uint64_t id, size_t index) {
  auto& layers = document.layers;
  const auto id_of = [](const Layer& layer) { return layer.info.id; };
  const auto from = std::ranges::find(layers, id, id_of);
  if (from == layers.end()) return;
  const auto to = layers.begin() + static_cast<std::ptrdiff_t>(std::min(index, layers.size() - 1));
  if (from < to) {
    std::rotate(from, from + 1, to + 1);
  } else {
    std::rotate(to, from, from + 1);
  }
}

void SetLayerOpacity(Document& document, uint64_t id, float opacity) {
  Layer* layer = document.Find(id);
  if (layer != nullptr) layer->info.opacity = std::clamp(opacity, 0.0f, 1.0f);
}

void SetLayerVisible(Document& document, uint64_t id, bool visible) {
  Layer* layer = document.Find(id);
  if (layer != nullptr) layer->info.visible = visible;
}

void FlattenLayers(Document& document) {
  RequirePicture(document, "one layer of all");
  if (document.layers.empty()) return;
  const LayerInfo info = {.name = "Flattened", .request = document.layers.back().info.request};
  const Image all = Flatten(document);
  document.layers.clear();
  AddLayer(document, all, info);
}

void ResizeCanvas(Document& document, int width, int height, int left, int top) {
  RequirePicture(document, "another size");
  Document resized(width, height);
  resized.last_id = document.last_id;
  Image mask = resized.mask.ToImage();
  const Image old_mask = document.mask.ToImage();
  std::ranges::fill(mask.pixels, uint8_t{255});
  resized.mask.Paste(mask, 0, 0);
  resized.mask.Paste(old_mask, left, top);
  for (const Layer& layer : document.layers) {
    TiledImage pixels(width, height, 4);
    pixels.Paste(layer.pixels.ToImage(), left, top);
    resized.layers.push_back({layer.info, std::move(pixels)});
  }
  document = std::move(resized);
}

}  // namespace gesso::ui
