// How the picture lies in the window: zoom, pan and rotation, as plain arithmetic.
#pragma once

#include "ui/state/geometry.h"

namespace gesso::ui {

constexpr double kMinZoom = 0.05;
constexpr double kMaxZoom = 32;

class View {
 public:
  double zoom() const { return zoom_; }    // screen pixels a pixel
  double angle() const { return angle_; }  // radians, clockwise

  Point ToScreen(Point picture) const;
  Point ToPicture(Point screen) const;

  // What lies under `screen` stays there. The zoom ends at its limits.
  void ZoomAt(Point screen, double factor);
  void RotateAt(Point screen, double radians);
  void Pan(double dx, double dy);  // screen pixels
  // The whole picture, upright, in the middle of `area` with a margin.
  void Fit(int width, int height, const Box& area);
  // Upright at 100 %, what was in the middle of `area` stays there.
  void OneToOne(const Box& area);

 private:
  double zoom_ = 1;
  double angle_ = 0;
  Point origin_;  // of the picture, on the screen
};

}  // namespace gesso::ui
