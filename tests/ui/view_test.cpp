#include "ui/canvas/view.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gesso::ui {
namespace {

void ExpectNear(Point a, Point b) {
  EXPECT_NEAR(a.x, b.x, 1e-9);
  EXPECT_NEAR(a.y, b.y, 1e-9);
}

TEST(View, FitsThePictureIntoTheMiddle) {
  View view;
  view.Fit(200, 100, {50, 20, 450, 420});
  EXPECT_NEAR(view.zoom(), 0.94 * 2, 1e-12);
  ExpectNear(view.ToScreen({100, 50}), {250, 220});
}

TEST(View, ZoomsAroundTheCursorWithinItsLimits) {
  View view;
  view.Fit(512, 512, {0, 0, 1000, 800});
  view.RotateAt({10, 20}, 0.7);
  const Point cursor = {333, 222};
  const Point held = view.ToPicture(cursor);
  for (const double factor : {1.5, 100.0, 0.3, 0.00001, 7.0}) {
    view.ZoomAt(cursor, factor);
    ExpectNear(view.ToScreen(held), cursor);
    EXPECT_GE(view.zoom(), 0.05);
    EXPECT_LE(view.zoom(), 32);
  }
}

TEST(View, GoesThereAndBack) {
  View view;
  view.Fit(640, 480, {0, 0, 1000, 800});
  view.RotateAt({400, 300}, -2.1);
  view.Pan(12.5, -80);
  ExpectNear(view.ToPicture(view.ToScreen({123.25, -7})), {123.25, -7});
  ExpectNear(view.ToScreen(view.ToPicture({5, 900})), {5, 900});
  // A full turn changes nothing.
  const Point corner = view.ToScreen({640, 480});
  for (int i = 0; i < 24; ++i) view.RotateAt({100, 100}, M_PI / 12);
  ExpectNear(view.ToScreen({640, 480}), corner);
}

TEST(View, OneToOneIsUprightAndKeepsTheMiddle) {
  View view;
  const Box area = {0, 0, 1000, 800};
  view.Fit(4000, 3000, area);
  view.Pan(77, 33);
  view.RotateAt({1, 2}, 1);
  const Point held = view.ToPicture({500, 400});
  view.OneToOne(area);
  EXPECT_EQ(view.zoom(), 1);
  EXPECT_NEAR(view.angle(), 0, 1e-12);
  EXPECT_NEAR(view.ToScreen(held).x, 500, 0.5);
  EXPECT_NEAR(view.ToScreen(held).y, 400, 0.5);
}

}  // namespace
}  // namespace gesso::ui
