#include "pipelines/mask/crop.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "pipelines/mask/over.h"

namespace gesso {

namespace {

// Where `length` pixels begin that are centred on part of a side of `whole`.
int64_t BeginOf(int64_t part_begin, int64_t part, int64_t length, int64_t whole) {
  if (length > whole) return (whole - length) / 2;
  return std::clamp<int64_t>(part_begin - (length - part) / 2, 0, whole - length);
}

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int kFull = 255;

// `pixel` becomes `painted` in proportion to `paint`, channel by channel.
void Mix(std::span<const uint8_t> painted, int paint, uint8_t* pixel) {
  for (size_t c = 0; c < painted.size(); ++c) {
    const int sum = pixel[c] * (kFull - paint) + painted[c] * paint;
    pixel[c] = static_cast<uint8_t>((sum + kFull / 2) / kFull);
  }
}

}  // namespace

std::optional<Rect> BoundsOf(const Image& mask) {
  int64_t left = mask.width;
  int64_t right = -1;
  int64_t top = mask.height;
  int64_t bottom = -1;
  for (int64_t y = 0; y < mask.height; ++y) {
    const auto row = mask.pixels.begin() + y * mask.width;
    const auto is_painted = [](uint8_t paint) { return paint > 0; };
    const auto first = std::find_if(row, row + mask.width, is_painted);
    if (first == row + mask.width) continue;
    const auto last = std::find_if(std::reverse_iterator(row + mask.width),
                                   std::reverse_iterator(row), is_painted);
    left = std::min<int64_t>(left, first - row);
    right = std::max<int64_t>(right, last.base() - row - 1);
    top = std::min(top, y);
    bottom = y;
  }
  if (bottom < 0) return std::nullopt;
  return Rect{left, top, right - left + 1, bottom - top + 1};
}

Rect CropAround(const Rect& bounds, int64_t padding, int64_t width, int64_t height,
                const Image& picture) {
  const int64_t left = std::max<int64_t>(bounds.left - padding, 0);
  const int64_t top = std::max<int64_t>(bounds.top - padding, 0);
  const int64_t right = std::min<int64_t>(bounds.left + bounds.width + padding, picture.width);
  const int64_t bottom = std::min<int64_t>(bounds.top + bounds.height + padding, picture.height);
  Rect place{left, top, right - left, bottom - top};
  const Rect padded = place;
  place.width = std::max(place.width, DivideUp(padded.height * width, height));
  place.height = std::max(place.height, DivideUp(padded.width * height, width));
  place.left = BeginOf(padded.left, padded.width, place.width, picture.width);
  place.top = BeginOf(padded.top, padded.height, place.height, picture.height);
  return place;
}

Image CutOut(const Image& picture, const Rect& place) {
  const auto channels = static_cast<int64_t>(picture.channels);
  Image part{static_cast<int>(place.width), static_cast<int>(place.height), picture.channels,
             std::vector<uint8_t>(static_cast<size_t>(place.width * place.height * channels))};
  for (int64_t y = 0; y < place.height; ++y) {
    const int64_t from_y = std::clamp<int64_t>(place.top + y, 0, picture.height - 1);
    for (int64_t x = 0; x < place.width; ++x) {
      const int64_t from_x = std::clamp<int64_t>(place.left + x, 0, picture.width - 1);
      std::memcpy(
          &part.pixels[static_cast<size_t>((y * place.width + x) * channels)],
          &picture.pixels[static_cast<size_t>((from_y * picture.width + from_x) * channels)],
          static_cast<size_t>(channels));
    }
  }
  return part;
}

void Paste(const Image& part, int64_t left, int64_t top, const Image& mask, Image& image) {
  CHECK(mask.width == image.width && mask.height == image.height);
  const bool is_opaque = part.channels != image.channels;
  CHECK(!is_opaque || (part.channels < 4 && image.channels == 4));
  const auto channels = static_cast<size_t>(image.channels);
  const auto part_channels = static_cast<size_t>(part.channels);
  const int64_t first_x = std::max<int64_t>(left, 0);
  const int64_t end_x = std::min<int64_t>(left + part.width, image.width);
  const int64_t end_y = std::min<int64_t>(top + part.height, image.height);
  for (int64_t y = std::max<int64_t>(top, 0); y < end_y; ++y) {
    for (int64_t x = first_x; x < end_x; ++x) {
      const auto at = static_cast<size_t>(y * image.width + x);
      const auto from = static_cast<size_t>((y - top) * part.width + x - left);
      uint8_t* pixel = &image.pixels[at * channels];
      const uint8_t* painted = &part.pixels[from * part_channels];
      if (is_opaque) {
        PutOver({painted, part_channels}, mask.pixels[at], pixel);
      } else {
        Mix({painted, part_channels}, mask.pixels[at], pixel);
      }
    }
  }
}

}  // namespace gesso
