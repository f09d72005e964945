#include "pipelines/media/enlarge.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "pipelines/media/image_file.h"

namespace gesso {

ScaleFilter ParseScaleFilter(const std::string& name) {
  if (name == "nearest") return ScaleFilter::kNearest;
  Require(name == "smooth", ErrorKind::kUsage,
          "scale_filter: there is no '{}' (choices: nearest, smooth)", name);
  return ScaleFilter::kSmooth;
}

Image Enlarge(const Image& image, int factor, ScaleFilter filter) {
  CHECK(factor >= 1);
  const int width = image.width * factor;
  const int height = image.height * factor;
  if (filter == ScaleFilter::kSmooth) return ResizeAndCrop(image, width, height);
  const auto channels = static_cast<size_t>(image.channels);
  const size_t row_bytes = static_cast<size_t>(width) * channels;
  Image large{width, height, image.channels,
              std::vector<uint8_t>(row_bytes * static_cast<size_t>(height))};
  for (int y = 0; y < height; ++y) {
    uint8_t* row = large.pixels.data() + static_cast<size_t>(y) * row_bytes;
    if (y % factor != 0) {
      std::copy_n(row - row_bytes, row_bytes, row);
      continue;
    }
    for (int x = 0; x < width; ++x) {
      const size_t from = static_cast<size_t>(y / factor * image.width + x / factor) * channels;
      std::copy_n(image.pixels.data() + from, channels, row + static_cast<size_t>(x) * channels);
    }
  }
  return large;
}

}  // namespace gesso
