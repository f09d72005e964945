// Filled shapes on a mask.
#pragma once

#include <vector>

#include "ui/state/tiled_image.h"

namespace gesso::ui {

enum class FillMode { kPaint, kErase };

// Fills the polygon (even-odd; it closes itself). Borders are smooth: a pixel that is covered in
// part is painted in part, at most `opacity` (0 .. 1).
void FillPolygon(TiledImage& mask, const std::vector<Point>& points, double opacity, FillMode mode);

// The outlines of shapes that touch the sides of the box spanned by two corners.
std::vector<Point> RectangleOutline(Point a, Point b);
std::vector<Point> EllipseOutline(Point a, Point b);

}  // namespace gesso::ui
