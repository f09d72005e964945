// Pictures made larger by a whole factor, for models whose pictures are small.
#pragma once

#include <string>

#include "pipelines/image.h"

namespace gesso {

enum class ScaleFilter {
  kNearest,  // every pixel becomes a square
  kSmooth,   // Catmull-Rom
};

// "nearest" or "smooth". Throws kUsage.
ScaleFilter ParseScaleFilter(const std::string& name);

// `image` with `factor` >= 1 times its width and height.
Image Enlarge(const Image& image, int factor, ScaleFilter filter);

}  // namespace gesso
