#include "ui/canvas/view.h"

#include <cmath>

namespace gesso::ui {

Point View::ToScreen(Point picture) const {
  const double c = std::cos(angle_) * zoom_;
  const double s = std::sin(angle_) * zoom_;
  return {origin_.x + c * picture.x - s * picture.y, origin_.y + s * picture.x + c * picture.y};
}

Point View::ToPicture(Point screen) const {
  const double c = std::cos(angle_) / zoom_;
  const double s = std::sin(angle_) / zoom_;
  const double x = screen.x - origin_.x;
  const double y = screen.y - origin_.y;
  return {c * x + s * y, c * y - s * x};
}

void View::ZoomAt(Point screen, double factor) {
  const Point held = ToPicture(screen);
  zoom_ = std::clamp(zoom_ * factor, kMinZoom, kMaxZoom);
  const Point now = ToScreen(held);
  Pan(screen.x - now.x, screen.y - now.y);
}

void View::RotateAt(Point screen, double radians) {
  const Point held = ToPicture(screen);
  angle_ = std::remainder(angle_ + radians, 2 * M_PI);
  const Point now = ToScreen(held);
  Pan(screen.x - now.x, screen.y - now.y);
}

void View::Pan(double dx, double dy) {
  origin_.x += dx;
  origin_.y += dy;
}

void View::Fit(int width, int height, const Box& area) {
  constexpr double kMargin = 0.94;
  angle_ = 0;
  const double fit = std::min(static_cast<double>(area.width()) / std::max(width, 1),
                              static_cast<double>(area.height()) / std::max(height, 1));
  zoom_ = std::clamp(fit * kMargin, kMinZoom, kMaxZoom);
  // On whole pixels of the screen, so that 100 % is sharp.
  origin_ = {std::floor(area.left + (area.width() - width * zoom_) / 2),
             std::floor(area.top + (area.height() - height * zoom_) / 2)};
}

void View::OneToOne(const Box& area) {
  const Point middle = {area.left + area.width() / 2.0, area.top + area.height() / 2.0};
  ZoomAt(middle, 1 / zoom_);
  RotateAt(middle, -angle_);
  zoom_ = 1;  // without what rounding has left
  angle_ = 0;
  origin_ = {std::round(origin_.x), std::round(origin_.y)};
}

}  // namespace gesso::ui
