// Pictures as PNG files (W3C PNG 3rd edition), through libpng.
#pragma once

#include <string>

#include "pipelines/image.h"

namespace gesso {

// A whole PNG file with the pixels of `image` [height, width, channels], 8 bits a channel: grey,
// RGB or RGBA for 1, 3 or 4 channels, and nothing else in it. The same pixels make the same bytes.
// Throws kMemory.
std::string EncodePngPixels(const Image& image);

}  // namespace gesso
