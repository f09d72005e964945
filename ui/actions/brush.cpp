#include "ui/actions/brush.h"

#include <algorithm>
#include <cmath>

namespace gesso::ui {

namespace {

constexpr int kFull = 255;
constexpr double kSpacing = 0.1;  // of the size

int Share(int value, int of) { return (value * of + kFull / 2) / kFull; }

}  // namespace

Stroke::Stroke(TiledImage& mask, const Brush& brush, bool erase)
    : mask_(mask),
      before_(mask),
      cover_(mask.width(), mask.height(), 1),
      brush_(brush),
      erase_(erase),
      falloff_{} {
  CHECK(mask.channels() == 1);
  brush_.size = std::clamp(brush.size, 1.0, kMaxBrushSize);
  for (size_t i = 0; i <= kTableSize; ++i) {
    const double distance = std::sqrt(static_cast<double>(i) / kTableSize);  // 1 at the rim
    // The rim is one pixel soft at least, so that hard brushes have no stairs.
    const double soft = std::max(1 - brush_.hardness, std::min(2 / brush_.size, 1.0));
    const double t = std::clamp((1 - distance) / soft, 0.0, 1.0);
    falloff_[i] = static_cast<uint8_t>(std::lround(t * t * (3 - 2 * t) * brush_.flow * kFull));
  }
}

void Stroke::LineTo(Point to) {
  if (!last_) {
    Stamp(to);
    last_ = to;
    until_next_ = std::max(1.0, brush_.size * kSpacing);
    return;
  }
  const double step = std::max(1.0, brush_.size * kSpacing);
  const double length = std::hypot(to.x - last_->x, to.y - last_->y);
  double at = until_next_;
  for (; at <= length; at += step) {
    const double t = at / length;
    Stamp({last_->x + t * (to.x - last_->x), last_->y + t * (to.y - last_->y)});
  }
  until_next_ = at - length;
  last_ = to;
}

void Stroke::Stamp(Point centre) {
  const double radius = brush_.size / 2 + 0.5;  // the falloff ends half a pixel outside
  const Box box = {static_cast<int>(std::floor(centre.x - radius)),
                   static_cast<int>(std::floor(centre.y - radius)),
                   static_cast<int>(std::ceil(centre.x + radius)),
                   static_cast<int>(std::ceil(centre.y + radius))};
  mask_.ForEachTile(box, [&](size_t index, const Box& part) {
    uint8_t* out = mask_.MutableTile(index);
    uint8_t* cover = cover_.MutableTile(index);
    const TilePtr& before = before_.tile(index);
    for (int y = part.top; y < part.bottom; ++y) {
      const double dy = y + 0.5 - centre.y;
      const double half = std::sqrt(std::max(0.0, radius * radius - dy * dy));
      const int left = std::max(part.left, static_cast<int>(std::floor(centre.x - half)));
      const int right = std::min(part.right, static_cast<int>(std::ceil(centre.x + half)));
      if (left >= right) continue;
      StampRow(y, left, right, centre, OffsetInTile(left, y, 1),
               before == nullptr ? nullptr : before->pixels.data(), cover, out);
    }
  });
}

void Stroke::StampRow(int y, int left, int right, Point centre, size_t offset, const uint8_t* base,
                      uint8_t* cover, uint8_t* out) const {
  const double radius = brush_.size / 2 + 0.5;
  const auto scale = static_cast<float>(kTableSize / (radius * radius));
  const auto dy = static_cast<float>(y + 0.5 - centre.y);
  const int opacity = static_cast<int>(std::lround(brush_.opacity * kFull));
  for (int x = left; x < right; ++x, ++offset) {
    const auto dx = static_cast<float>(x + 0.5 - centre.x);
    const float squared = (dx * dx + dy * dy) * scale;
    const int dab = falloff_[std::min(static_cast<size_t>(squared), kTableSize)];
    const int covered = cover[offset] + Share(kFull - cover[offset], dab);
    cover[offset] = static_cast<uint8_t>(covered);
    const int old = base == nullptr ? 0 : base[offset];
    const int amount = Share(covered, opacity);
    out[offset] = static_cast<uint8_t>(erase_ ? Share(old, kFull - amount)
                                              : old + Share(kFull - old, amount));
  }
}

}  // namespace gesso::ui
