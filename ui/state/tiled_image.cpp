#include "ui/state/tiled_image.h"

#include <atomic>
#include <cstring>

namespace gesso::ui {

uint64_t NewId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

namespace {

bool AllZero(const std::vector<uint8_t>& bytes) {
  return std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; });
}

bool IsZeroTile(const TilePtr& tile) {
  if (tile == nullptr) return true;
  const uint64_t memo = tile->zero_memo;
  if (memo / 2 == tile->version) return memo % 2 == 1;
  const bool is_zero = AllZero(tile->pixels);
  tile->zero_memo = 2 * tile->version + (is_zero ? 1 : 0);
  return is_zero;
}

bool SameBytes(const TilePtr& a, const TilePtr& b) {
  if (a == b) return true;
  if (a == nullptr) return AllZero(b->pixels);
  if (b == nullptr) return AllZero(a->pixels);
  return a->pixels == b->pixels;
}

}  // namespace

TiledImage::TiledImage(int width, int height, int channels)
    : width_(width), height_(height), channels_(channels), id_(NewId()) {
  CHECK(width >= 0 && height >= 0);
  tiles_.resize(static_cast<size_t>(columns()) *
                static_cast<size_t>((height + kTileSide - 1) / kTileSide));
}

TiledImage::TiledImage(const Image& image) : TiledImage(image.width, image.height, image.channels) {
  Paste(image, 0, 0);
}

TiledImage::TiledImage(const TiledImage& other)
    : width_(other.width_),
      height_(other.height_),
      channels_(other.channels_),
      id_(NewId()),
      tiles_(other.tiles_) {
  other.id_ = NewId();
}

TiledImage& TiledImage::operator=(const TiledImage& other) {
  if (this != &other) *this = TiledImage(other);
  return *this;
}

bool TiledImage::SameShape(const TiledImage& other) const {
  return width_ == other.width_ && height_ == other.height_ && channels_ == other.channels_;
}

bool TiledImage::SharesAllTiles(const TiledImage& other) const {
  return SameShape(other) && tiles_ == other.tiles_;
}

uint8_t* TiledImage::MutableTile(size_t index) {
  TilePtr& tile = tiles_[index];
  if (tile == nullptr || tile->owner != id_) {
    auto own = std::make_shared<Tile>();
    own->owner = id_;
    if (tile != nullptr) {
      own->pixels = tile->pixels;
    } else {
      own->pixels.resize(static_cast<size_t>(kTileSide) * kTileSide *
                         static_cast<size_t>(channels_));
    }
    tile = std::move(own);
  }
  // Its owner is this version, so no copy and no other thread looks at it.
  auto* own = const_cast<Tile*>(tile.get());
  own->version = NewId();
  return own->pixels.data();
}

Box TiledImage::TileBox(size_t index) const {
  const int row = static_cast<int>(index) / columns();
  const int column = static_cast<int>(index) % columns();
  const Box whole = {column * kTileSide, row * kTileSide, (column + 1) * kTileSide,
                     (row + 1) * kTileSide};
  return Intersection(whole, bounds());
}

const uint8_t* TiledImage::At(int x, int y) const {
  const TilePtr& tile = tiles_[static_cast<size_t>(y / kTileSide * columns() + x / kTileSide)];
  return tile == nullptr ? nullptr : tile->pixels.data() + OffsetInTile(x, y, channels_);
}

bool TiledImage::IsZero() const { return std::ranges::all_of(tiles_, IsZeroTile); }

Box TiledImage::UsedBox() const {
  Box used = {width_, height_, 0, 0};
  for (size_t i = 0; i < tiles_.size(); ++i) {
    if (tiles_[i] == nullptr) continue;
    const Box box = TileBox(i);
    for (int y = box.top; y < box.bottom; ++y) {
      const auto begin = tiles_[i]->pixels.begin() +
                         static_cast<std::ptrdiff_t>(OffsetInTile(box.left, y, channels_));
      const auto end = begin + box.width() * channels_;
      const auto is_used = [](uint8_t byte) { return byte != 0; };
      const auto first = std::find_if(begin, end, is_used);
      if (first == end) continue;
      auto last = end;
      while (!is_used(*(last - 1))) --last;
      used.left = std::min(used.left, box.left + static_cast<int>(first - begin) / channels_);
      used.right =
          std::max(used.right, box.left + static_cast<int>(last - begin - 1) / channels_ + 1);
      used.top = std::min(used.top, y);
      used.bottom = std::max(used.bottom, y + 1);
    }
  }
  return used.empty() ? Box{} : used;
}

Image TiledImage::ToImage() const {
  const auto row = static_cast<size_t>(width_) * static_cast<size_t>(channels_);
  Image image{width_, height_, channels_, std::vector<uint8_t>(row * static_cast<size_t>(height_))};
  for (size_t i = 0; i < tiles_.size(); ++i) {
    if (tiles_[i] == nullptr) continue;
    const Box box = TileBox(i);
    for (int y = box.top; y < box.bottom; ++y) {
      std::memcpy(image.pixels.data() + static_cast<size_t>(y) * row +
                      static_cast<size_t>(box.left * channels_),
                  tiles_[i]->pixels.data() + OffsetInTile(box.left, y, channels_),
                  static_cast<size_t>(box.width() * channels_));
    }
  }
  return image;
}

void TiledImage::Paste(const Image& image, int left, int top) {
  CHECK(image.channels == channels_);
  const Box area = {left, top, left + image.width, top + image.height};
  ForEachTile(area, [&](size_t index, const Box& box) {
    const auto bytes = static_cast<size_t>(box.width() * channels_);
    const auto from = [&](int y) {
      const int64_t pixel = int64_t{y - top} * image.width + (box.left - left);
      return image.pixels.data() + pixel * channels_;
    };
    bool differs = false;
    for (int y = box.top; y < box.bottom && !differs; ++y) {
      const uint8_t* old = At(box.left, y);
      differs = old != nullptr ? std::memcmp(old, from(y), bytes) != 0
                               : std::any_of(from(y), from(y) + bytes, [](uint8_t b) { return b; });
    }
    if (!differs) return;
    uint8_t* tile = MutableTile(index);
    for (int y = box.top; y < box.bottom; ++y) {
      std::memcpy(tile + OffsetInTile(box.left, y, channels_), from(y), bytes);
    }
  });
}

bool TiledImage::operator==(const TiledImage& other) const {
  return SameShape(other) && std::ranges::equal(tiles_, other.tiles_, SameBytes);
}

}  // namespace gesso::ui
