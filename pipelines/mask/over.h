// One pixel over another that may be transparent: source over of Porter and Duff 1984, "Compositing
// digital images", where a pixel's colour is not multiplied by its alpha. All values are 0 .. 255.
#pragma once

#include <cstdint>
#include <span>

namespace gesso {

// A layer of the colour `painted` (grey or RGB) and opacity `paint` over an RGBA pixel. Under 0 the
// pixel stays as it is, also a colour that is hidden.
void PutOver(std::span<const uint8_t> painted, int paint, uint8_t* pixel);

// The way back: `pixel`, which a layer has made of what lies `below` it, becomes that layer's, all
// RGBA. PutOver makes of it and `below` the same pixel again. Where the pixel is opaque, or nothing
// lies below, it stays as it is, and becomes transparent where nothing has changed. So does one
// that no layer makes of `below`, as it has less alpha or another colour without more.
void TakeApart(const uint8_t* below, uint8_t* pixel);

}  // namespace gesso
