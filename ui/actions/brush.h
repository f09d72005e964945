// Brush and eraser on a mask: round stamps along a path.
#pragma once

#include <array>
#include <optional>

#include "ui/state/tiled_image.h"

namespace gesso::ui {

constexpr double kMaxBrushSize = 2000;

struct Brush {
  double size = 40;       // diameter in pixels, 1 .. kMaxBrushSize
  double hardness = 0.8;  // share of the radius that is full, 0 .. 1
  double opacity = 1;     // the most that one stroke paints, 0 .. 1
  double flow = 1;        // what each stamp adds of that, 0 .. 1
  bool operator==(const Brush&) const = default;
};

// One stroke. Where it passes several times it covers more, up to the brush's opacity; an eraser
// takes away as much as a brush would have painted.
class Stroke {
 public:
  // Keeps a reference to `mask` (one channel), which nobody else may change during the stroke.
  Stroke(TiledImage& mask, const Brush& brush, bool erase);

  // Stamps from the last point to this one, a tenth of the size apart.
  void LineTo(Point to);
  void Stamp(Point centre);

 private:
  void StampRow(int y, int left, int right, Point centre, size_t offset, const uint8_t* base,
                uint8_t* cover, uint8_t* out) const;

  TiledImage& mask_;
  TiledImage before_;
  TiledImage cover_;  // how much of each pixel the stroke covers
  Brush brush_;
  bool erase_;
  std::optional<Point> last_;
  double until_next_ = 0;  // pixels of path to the next stamp
  static constexpr size_t kTableSize = 1024;
  std::array<uint8_t, kTableSize + 1> falloff_;  // by the squared distance from the centre
};

}  // namespace gesso::ui
