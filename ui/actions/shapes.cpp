#include "ui/actions/shapes.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gesso::ui {

namespace {

constexpr int kFull = 255;
constexpr int kLines = 8;  // scan lines a row of pixels

// Where the outline crosses the line at height y, from left to right.
std::vector<double> Crossings(const std::vector<Point>& points, double y) {
  std::vector<double> crossings;
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& a = points[i];
    const Point& b = points[(i + 1) % points.size()];
    if ((a.y <= y) == (b.y <= y)) continue;
    crossings.push_back(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
  }
  std::ranges::sort(crossings);
  return crossings;
}

// Adds the length that [begin, end) has within each pixel of a row starting at x = 0.
void AddSpan(double begin, double end, std::vector<float>& row) {
  begin = std::clamp(begin, 0.0, static_cast<double>(row.size()));
  end = std::clamp(end, 0.0, static_cast<double>(row.size()));
  for (auto x = static_cast<size_t>(begin); static_cast<double>(x) < end; ++x) {
    const auto left = static_cast<double>(x);
    row[x] += static_cast<float>(std::min(end, left + 1) - std::max(begin, left));
  }
}

Box BoundsOf(const std::vector<Point>& points, const Box& limits) {
  // Far away points are no reason to overflow an int.
  const auto whole = [](double value) { return static_cast<int>(std::clamp(value, -1e6, 1e6)); };
  Box box = {limits.right, limits.bottom, limits.left, limits.top};
  for (const Point& point : points) {
    box.left = std::min(box.left, whole(std::floor(point.x)));
    box.top = std::min(box.top, whole(std::floor(point.y)));
    box.right = std::max(box.right, whole(std::ceil(point.x)));
    box.bottom = std::max(box.bottom, whole(std::ceil(point.y)));
  }
  return Intersection(box, limits);
}

}  // namespace

void FillPolygon(TiledImage& mask, const std::vector<Point>& points, double opacity,
                 FillMode mode) {
  CHECK(mask.channels() == 1);
  const Box box = BoundsOf(points, mask.bounds());
  if (box.empty()) return;
  std::vector<float> cover(static_cast<size_t>(box.width()));
  for (int y = box.top; y < box.bottom; ++y) {
    std::ranges::fill(cover, 0.0f);
    for (int line = 0; line < kLines; ++line) {
      const std::vector<double> at = Crossings(points, y + (line + 0.5) / kLines);
      for (size_t i = 0; i + 1 < at.size(); i += 2) {
        AddSpan(at[i] - box.left, at[i + 1] - box.left, cover);
      }
    }
    mask.ForEachTile({box.left, y, box.right, y + 1}, [&](size_t index, const Box& part) {
      const auto first = cover.begin() + (part.left - box.left);
      const auto end = cover.begin() + (part.right - box.left);
      if (std::all_of(first, end, [](float value) { return value == 0; })) return;
      uint8_t* out = mask.MutableTile(index) + OffsetInTile(part.left, y, 1);
      for (auto value = first; value != end; ++value, ++out) {
        const int paint = static_cast<int>(std::lround(*value / kLines * opacity * kFull));
        const int target = mode == FillMode::kPaint ? kFull : 0;
        *out = static_cast<uint8_t>((*out * (kFull - paint) + target * paint + kFull / 2) / kFull);
      }
    });
  }
}

std::vector<Point> RectangleOutline(Point a, Point b) {
  return {{a.x, a.y}, {b.x, a.y}, {b.x, b.y}, {a.x, b.y}};
}

std::vector<Point> EllipseOutline(Point a, Point b) {
  const Point centre = {(a.x + b.x) / 2, (a.y + b.y) / 2};
  const double width = std::abs(b.x - a.x) / 2;
  const double height = std::abs(b.y - a.y) / 2;
  // Corners closer than a pixel are not seen.
  const int corners = std::clamp(static_cast<int>(4 * std::sqrt(width + height)) * 4, 16, 1024);
  std::vector<Point> points;
  for (int i = 0; i < corners; ++i) {
    const double angle = 2 * std::numbers::pi * i / corners;
    points.push_back({centre.x + width * std::cos(angle), centre.y + height * std::sin(angle)});
  }
  return points;
}

}  // namespace gesso::ui
