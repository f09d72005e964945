#include "ui/actions/mask_actions.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace gesso::ui {

namespace {

constexpr uint8_t kFull = 255;

// Puts the bytes into the mask; tiles that stay the same stay shared.
void SetMask(Document& document, const Image& mask) { document.mask.Paste(mask, 0, 0); }

size_t Index(const Image& image, int x, int y) {
  return static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x);
}

// Every pixel becomes the largest of itself and its neighbours above and below.
void MaxOfColumns(Image& image) {
  const auto width = static_cast<size_t>(image.width);
  std::vector<uint8_t> above(width);
  std::vector<uint8_t> row(width);
  for (int y = 0; y < image.height; ++y) {
    uint8_t* now = &image.pixels[Index(image, 0, y)];
    const uint8_t* below = y + 1 < image.height ? now + width : now;
    std::memcpy(row.data(), now, width);
    for (size_t x = 0; x < width; ++x) now[x] = std::max({above[x], now[x], below[x]});
    std::swap(above, row);
  }
}

void MaxOfRows(Image& image) {
  const auto width = static_cast<size_t>(image.width);
  std::vector<uint8_t> row(width + 2);  // a border of zeros
  for (int y = 0; y < image.height; ++y) {
    uint8_t* now = &image.pixels[Index(image, 0, y)];
    std::memcpy(row.data() + 1, now, width);
    for (size_t x = 0; x < width; ++x) now[x] = std::max({row[x], row[x + 1], row[x + 2]});
  }
}

// Dilation by an octagon: steps to eight neighbours and to four take turns.
void Dilate(Image& image, int radius) {
  for (int i = 0; i < radius; ++i) {
    if (i % 2 == 0) {
      Image upright = image;
      MaxOfColumns(upright);
      MaxOfRows(image);
      std::ranges::transform(image.pixels, upright.pixels, image.pixels.begin(),
                             [](uint8_t a, uint8_t b) { return std::max(a, b); });
    } else {
      MaxOfColumns(image);
      MaxOfRows(image);
    }
  }
}

void Negate(Image& image) {
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(kFull - value);
}

// Means over 2 * radius + 1 values of a line; the ends repeat.
void BoxFilter(const uint8_t* in, uint8_t* out, int count, std::ptrdiff_t stride, int radius) {
  const auto at = [&](int i) { return int{in[std::clamp(i, 0, count - 1) * stride]}; };
  const int size = 2 * radius + 1;
  int sum = size / 2;
  for (int i = -radius; i <= radius; ++i) sum += at(i);
  for (int i = 0; i < count; ++i) {
    out[i * stride] = static_cast<uint8_t>(sum / size);
    sum += at(i + radius + 1) - at(i - radius);
  }
}

void Blur(Image& image, int radius) {
  Image other = image;
  for (int y = 0; y < image.height; ++y) {
    const size_t row = Index(image, 0, y);
    BoxFilter(&image.pixels[row], &other.pixels[row], image.width, 1, radius);
  }
  for (int x = 0; x < image.width; ++x) {
    const auto column = static_cast<size_t>(x);
    BoxFilter(&other.pixels[column], &image.pixels[column], image.height, image.width, radius);
  }
}

// The composed picture, tile by tile as it is asked for.
class Composite {
 public:
  explicit Composite(const Document& document)
      : document_(document), tiles_(document.width, document.height, 4) {
    done_.resize(tiles_.tile_count());
  }

  const uint8_t* At(int x, int y) {
    const auto columns = static_cast<size_t>((document_.width + kTileSide - 1) / kTileSide);
    const size_t index =
        static_cast<size_t>(y / kTileSide) * columns + static_cast<size_t>(x / kTileSide);
    if (!done_[index]) {
      CompositeTile(document_, index, tiles_.MutableTile(index));
      done_[index] = true;
    }
    return tiles_.At(x, y);
  }

 private:
  const Document& document_;
  TiledImage tiles_;
  std::vector<bool> done_;
};

}  // namespace

void ClearMask(Document& document) {
  document.mask = TiledImage(document.width, document.height, 1);
}

void FillMask(Document& document) {
  Image mask = document.mask.ToImage();
  std::ranges::fill(mask.pixels, kFull);
  SetMask(document, mask);
}

void InvertMask(Document& document) {
  Image mask = document.mask.ToImage();
  Negate(mask);
  SetMask(document, mask);
}

void GrowMask(Document& document, int radius) {
  Image mask = document.mask.ToImage();
  Dilate(mask, std::clamp(radius, 1, kMaxMaskRadius));
  SetMask(document, mask);
}

void ShrinkMask(Document& document, int radius) {
  Image mask = document.mask.ToImage();
  Negate(mask);
  Dilate(mask, std::clamp(radius, 1, kMaxMaskRadius));
  Negate(mask);
  SetMask(document, mask);
}

void FeatherMask(Document& document, int radius) {
  Image mask = document.mask.ToImage();
  if (mask.pixels.empty()) return;
  // Three boxes of half-width r have the deviation sqrt(r (r + 1)), about r + 1/2.
  const int box = std::clamp(radius, 1, kMaxMaskRadius) / 2;
  for (int pass = 0; pass < 3; ++pass) Blur(mask, std::max(1, box));
  SetMask(document, mask);
}

void BucketFill(Document& document, int x, int y, int tolerance, bool erase) {
  if (x < 0 || y < 0 || x >= document.width || y >= document.height) return;
  Composite picture(document);
  const std::vector<uint8_t> seed(picture.At(x, y), picture.At(x, y) + 4);
  const auto is_like_seed = [&](int px, int py) {
    const uint8_t* pixel = picture.At(px, py);
    for (size_t c = 0; c < 4; ++c) {
      if (std::abs(int{pixel[c]} - int{seed[c]}) > tolerance) return false;
    }
    return true;
  };
  Image mask = document.mask.ToImage();
  std::vector<bool> seen(mask.pixels.size());
  std::vector<std::pair<int, int>> open = {{x, y}};
  seen[Index(mask, x, y)] = true;
  while (!open.empty()) {
    const auto [px, py] = open.back();
    open.pop_back();
    mask.pixels[Index(mask, px, py)] = erase ? 0 : kFull;
    const std::pair<int, int> neighbours[] = {
        {px - 1, py}, {px + 1, py}, {px, py - 1}, {px, py + 1}};
    for (const auto& [nx, ny] : neighbours) {
      if (nx < 0 || ny < 0 || nx >= mask.width || ny >= mask.height) continue;
      const size_t at = Index(mask, nx, ny);
      if (seen[at] || !is_like_seed(nx, ny)) continue;
      seen[at] = true;
      open.emplace_back(nx, ny);
    }
  }
  SetMask(document, mask);
}

void LoadMask(Document& document, const Image& mask) {
  Require(mask.width == document.width && mask.height == document.height && mask.channels == 1,
          ErrorKind::kUsage, "the mask is {} x {}, but the picture {} x {}; a mask has its size",
          mask.width, mask.height, document.width, document.height);
  SetMask(document, mask);
}

}  // namespace gesso::ui
