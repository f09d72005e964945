#include "ui/actions/mask_actions.h"

#include <algorithm>
#include <cstdlib>

#include "pipelines/mask/mask.h"

namespace gesso::ui {

namespace {

constexpr uint8_t kFull = 255;

// Puts the bytes into the mask; tiles that stay the same stay shared.
void SetMask(Document& document, const Image& mask) { document.mask.Paste(mask, 0, 0); }

size_t Index(const Image& image, int x, int y) {
  return static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x);
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
  gesso::InvertMask(mask);
  SetMask(document, mask);
}

void GrowMask(Document& document, int radius) {
  Image mask = document.mask.ToImage();
  gesso::GrowMask(mask, std::clamp(radius, 1, kMaxMaskRadius));
  SetMask(document, mask);
}

void ShrinkMask(Document& document, int radius) {
  Image mask = document.mask.ToImage();
  gesso::GrowMask(mask, -std::clamp(radius, 1, kMaxMaskRadius));
  SetMask(document, mask);
}

void FeatherMask(Document& document, int radius) {
  Image mask = document.mask.ToImage();
  gesso::FeatherMask(mask, std::clamp(radius, 1, kMaxMaskRadius));
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
