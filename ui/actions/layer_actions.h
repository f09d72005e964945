// What is done to the layers of a document. Ids that are not there have no effect. The layers of a
// song are its notes: what would add, remove or paint some throws kUsage.
#pragma once

#include "ui/state/document.h"

namespace gesso::ui {

// A document with one layer: the picture.
Document OpenAsDocument(const Image& image, const std::string& name);

// Adds a layer on top, the picture in its middle. Returns its id.
uint64_t AddLayer(Document& document, const Image& image, LayerInfo info);
// A result that was painted into the picture and under the mask of `before`: the layer is
// transparent where the mask is zero, but for what the paint has changed beyond it (a mask that was
// grown or blurred on the way). Over `before` it makes the result, also where that shows through.
uint64_t AddPaintedLayer(Document& document, const Image& image, const Document& before,
                         LayerInfo info);
void RemoveLayer(Document& document, uint64_t id);
// To place `index` from the bottom.
void MoveLayer(Document& document, uint64_t id, size_t index);
void SetLayerOpacity(Document& document, uint64_t id, float opacity);
void SetLayerVisible(Document& document, uint64_t id, bool visible);
// All visible layers become one.
void FlattenLayers(Document& document);
// A larger or smaller canvas; the picture keeps its place, moved by (left, top). New pixels are
// transparent, and masked: they are to be painted.
void ResizeCanvas(Document& document, int width, int height, int left, int top);

}  // namespace gesso::ui
