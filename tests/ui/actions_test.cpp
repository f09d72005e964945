// Every action on masks and layers: what it does to pixels, and that a long random session can be
// undone and done again to the byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "pipelines/mask/mask.h"
#include "tests/support/files.h"
#include "ui/actions/brush.h"
#include "ui/actions/layer_actions.h"
#include "ui/actions/mask_actions.h"
#include "ui/actions/shapes.h"
#include "ui/state/history.h"

namespace gesso::ui {
namespace {

int MaskAt(const Document& document, int x, int y) {
  const uint8_t* value = document.mask.At(x, y);
  return value == nullptr ? 0 : *value;
}

int64_t SumOf(const TiledImage& mask) {
  int64_t sum = 0;
  for (const uint8_t value : mask.ToImage().pixels) sum += value;
  return sum;
}

TEST(Stroke, StampsADiscAcrossTiles) {
  Document document(600, 600);
  Stroke(document.mask, {.size = 100, .hardness = 1}, false).Stamp({256, 256});
  EXPECT_EQ(MaskAt(document, 256, 256), 255);
  EXPECT_EQ(MaskAt(document, 255, 255), 255);
  EXPECT_EQ(MaskAt(document, 208, 256), 255);
  EXPECT_EQ(MaskAt(document, 203, 256), 0);
  EXPECT_EQ(MaskAt(document, 221, 221), 255);  // 49.5 from the centre
  EXPECT_EQ(MaskAt(document, 219, 219), 0);
  const double area = static_cast<double>(SumOf(document.mask)) / 255;
  EXPECT_NEAR(area, 3.14159 * 50 * 50, 3.14159 * 50);
}

TEST(Stroke, SoftBrushesFallOffFromTheCentre) {
  Document document(300, 300);
  Stroke(document.mask, {.size = 200, .hardness = 0}, false).Stamp({150, 150});
  for (int x = 151; x < 250; ++x) EXPECT_LE(MaskAt(document, x, 150), MaskAt(document, x - 1, 150));
  EXPECT_NEAR(MaskAt(document, 200, 150), 128, 4);
}

TEST(Stroke, CoversNoMoreThanItsOpacity) {
  Document document(300, 300);
  Stroke stroke(document.mask, {.size = 50, .hardness = 1, .opacity = 0.5, .flow = 0.4}, false);
  stroke.Stamp({100, 100});
  EXPECT_NEAR(MaskAt(document, 100, 100), 255 * 0.5 * 0.4, 1);
  for (int i = 0; i < 50; ++i) stroke.LineTo({100.0 + i % 2, 100});
  EXPECT_NEAR(MaskAt(document, 100, 100), 128, 2);
  // A second stroke adds to the first.
  Stroke(document.mask, {.size = 50, .hardness = 1, .opacity = 0.5}, false).Stamp({100, 100});
  EXPECT_NEAR(MaskAt(document, 100, 100), 191, 2);
}

TEST(Stroke, ErasesWhatABrushPainted) {
  Document document(300, 300);
  const Brush brush = {.size = 30, .hardness = 0.5};
  Stroke(document.mask, brush, false).LineTo({50, 50});
  Stroke paint(document.mask, brush, false);
  paint.LineTo({50, 50});
  paint.LineTo({250, 200});
  EXPECT_EQ(MaskAt(document, 150, 125), 255);
  Stroke erase(document.mask, {.size = 60, .hardness = 1}, true);
  erase.LineTo({50, 50});
  erase.LineTo({250, 200});
  EXPECT_EQ(SumOf(document.mask), 0);
}

TEST(Stroke, IsTheSameInOneMoveAndInMany) {
  Document one(300, 300);
  Document many(300, 300);
  const Brush brush = {.size = 20, .hardness = 0.3, .flow = 0.3};
  Stroke a(one.mask, brush, false);
  a.LineTo({20, 20});
  a.LineTo({220, 20});
  Stroke b(many.mask, brush, false);
  for (int i = 0; i <= 200; ++i) b.LineTo({20.0 + i, 20});
  EXPECT_TRUE(one.mask == many.mask);
}

TEST(Shapes, RectanglesEndBetweenPixels) {
  Document document(300, 300);
  FillPolygon(document.mask, RectangleOutline({270, 30}, {10, 20}), 1, FillMode::kPaint);
  EXPECT_EQ(SumOf(document.mask), 255 * 260 * 10);
  EXPECT_EQ(MaskAt(document, 10, 20), 255);
  EXPECT_EQ(MaskAt(document, 9, 20), 0);
  EXPECT_EQ(MaskAt(document, 269, 29), 255);
  EXPECT_EQ(MaskAt(document, 270, 29), 0);
  FillPolygon(document.mask, RectangleOutline({10, 20}, {12.5, 30}), 1, FillMode::kErase);
  EXPECT_EQ(MaskAt(document, 11, 25), 0);
  EXPECT_NEAR(MaskAt(document, 12, 25), 128, 1);
}

TEST(Shapes, EllipsesAndPolygonsHaveTheirArea) {
  Document document(400, 300);
  FillPolygon(document.mask, EllipseOutline({20, 30}, {320, 230}), 1, FillMode::kPaint);
  EXPECT_NEAR(static_cast<double>(SumOf(document.mask)) / 255, 3.14159 * 150 * 100, 60);
  ClearMask(document);
  // Outside the picture on three sides, and crossing itself: even-odd.
  FillPolygon(document.mask, {{-100, -100}, {500, -100}, {150, 200}}, 0.5, FillMode::kPaint);
  EXPECT_EQ(MaskAt(document, 150, 50), 128);
  EXPECT_EQ(MaskAt(document, 399, 299), 0);
}

TEST(MaskActions, InvertAndFillAndClear) {
  Document document(300, 260);
  FillPolygon(document.mask, RectangleOutline({0, 0}, {100, 260}), 1, FillMode::kPaint);
  InvertMask(document);
  EXPECT_EQ(MaskAt(document, 99, 259), 0);
  EXPECT_EQ(MaskAt(document, 100, 259), 255);
  FillMask(document);
  EXPECT_EQ(SumOf(document.mask), 255 * 300 * 260);
  ClearMask(document);
  EXPECT_TRUE(document.mask.IsZero());
}

TEST(MaskActions, GrowAndShrinkMoveTheBorder) {
  Document document(300, 300);
  FillPolygon(document.mask, RectangleOutline({100, 100}, {200, 200}), 0.6, FillMode::kPaint);
  const TiledImage before = document.mask;
  GrowMask(document, 10);
  EXPECT_EQ(MaskAt(document, 90, 150), 153);  // grey stays grey
  EXPECT_EQ(MaskAt(document, 89, 150), 0);
  EXPECT_EQ(MaskAt(document, 150, 209), 153);
  EXPECT_EQ(MaskAt(document, 90, 90), 153);
  ShrinkMask(document, 10);
  EXPECT_TRUE(document.mask == before);
  ShrinkMask(document, 50);
  EXPECT_EQ(SumOf(document.mask), 0);
}

TEST(MaskActions, FeatherKeepsTheAmountAndSoftensTheBorder) {
  Document document(300, 300);
  FillPolygon(document.mask, RectangleOutline({100, 100}, {200, 200}), 1, FillMode::kPaint);
  const auto before = static_cast<double>(SumOf(document.mask));
  FeatherMask(document, 10);
  EXPECT_NEAR(static_cast<double>(SumOf(document.mask)) / before, 1, 0.02);
  EXPECT_EQ(MaskAt(document, 150, 150), 255);
  EXPECT_NEAR(MaskAt(document, 100, 150), 128, 8);
  EXPECT_EQ(MaskAt(document, 60, 150), 0);
}

TEST(MaskActions, MakeTheMaskOfTheCommandLine) {
  Document document(300, 200);
  FillPolygon(document.mask, EllipseOutline({100, 80}, {220, 160}), 0.9, FillMode::kPaint);
  Image mask = document.mask.ToImage();
  const auto expect_equal = [&] { EXPECT_EQ(document.mask.ToImage().pixels, mask.pixels); };
  GrowMask(document, 7);
  gesso::GrowMask(mask, 7);
  expect_equal();
  FeatherMask(document, 5);
  gesso::FeatherMask(mask, 5);
  expect_equal();
  ShrinkMask(document, 3);
  gesso::GrowMask(mask, -3);
  expect_equal();
}

TEST(MaskActions, TheBucketStopsAtOtherColours) {
  Image picture{300, 10, 3, std::vector<uint8_t>(9000, 50)};
  for (size_t y = 0; y < 10; ++y) picture.pixels[(y * 300 + 270) * 3 + 1] = 90;  // a wall
  Document document = OpenAsDocument(picture, "wall");
  BucketFill(document, 5, 5, 39, false);
  EXPECT_EQ(SumOf(document.mask), 255 * 270 * 10);
  BucketFill(document, 5, 5, 40, false);
  EXPECT_EQ(SumOf(document.mask), 255 * 300 * 10);
  BucketFill(document, 299, 5, 0, true);
  EXPECT_EQ(SumOf(document.mask), 255 * 271 * 10);
  BucketFill(document, -1, 5, 0, true);  // outside: nothing
  EXPECT_EQ(SumOf(document.mask), 255 * 271 * 10);
}

TEST(MaskActions, RefusesAMaskOfAnotherSize) {
  Document document(30, 20);
  ExpectError(ErrorKind::kUsage, {"20 x 30", "30 x 20"}, [&] {
    LoadMask(document, {20, 30, 1, std::vector<uint8_t>(600)});
  });
}

// Random actions on a small document of several tiles.
class Session {
 public:
  Session() : document(OpenAsDocument(Noise(300, 280), "start")) {}

  void DoSomething() {
    const Document before = document;
    static const std::vector<void (Session::*)()> kActions = {
        &Session::Paint, &Session::Paint,   &Session::Paint, &Session::Paint,
        &Session::Shape, &Session::Shape,   &Session::Whole, &Session::Layer,
        &Session::Layer, &Session::Opacity, &Session::Order};
    (this->*kActions[Below(kActions.size())])();
    history.Push("action", before, document);
  }

  Document document;
  History history{size_t{4} << 20};  // so small that most steps live in the file

 private:
  size_t Below(size_t n) { return random_() % n; }
  double Unit() { return static_cast<double>(random_() % 1001) / 1000; }
  Point SomePoint() { return {Unit() * 340 - 20, Unit() * 320 - 20}; }
  uint64_t SomeLayer() {
    return document.layers.empty() ? 0 : document.layers[Below(document.layers.size())].info.id;
  }
  Image Noise(int width, int height) {
    Image image{width, height, 3, std::vector<uint8_t>(static_cast<size_t>(width * height * 3))};
    const auto salt = static_cast<uint8_t>(random_());
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      image.pixels[i] = static_cast<uint8_t>(i / 50 + salt);
    }
    return image;
  }

  void Paint() {
    Stroke stroke(document.mask, {1 + Unit() * 60, Unit(), Unit(), Unit()}, Below(3) == 0);
    for (size_t i = Below(4) + 1; i > 0; --i) stroke.LineTo(SomePoint());
  }
  void Shape() {
    const FillMode mode = Below(3) == 0 ? FillMode::kErase : FillMode::kPaint;
    std::vector<Point> points = RectangleOutline(SomePoint(), SomePoint());
    if (Below(2) == 0) points = EllipseOutline(SomePoint(), SomePoint());
    if (Below(3) == 0) points.push_back(SomePoint());
    FillPolygon(document.mask, points, Unit(), mode);
  }
  void Whole() {
    const int radius = static_cast<int>(Below(4)) + 1;
    switch (Below(7)) {
      case 0:
        return ClearMask(document);
      case 1:
        return InvertMask(document);
      case 2:
        return GrowMask(document, radius);
      case 3:
        return ShrinkMask(document, radius);
      case 4:
        return FeatherMask(document, radius);
      case 5:
        return FillMask(document);
      default:
        return BucketFill(document, static_cast<int>(Below(300)), static_cast<int>(Below(280)),
                          static_cast<int>(Below(30)), false);
    }
  }
  void Layer() {
    if (document.layers.size() > 3) {
      RemoveLayer(document, SomeLayer());
    } else if (Below(8) == 0) {
      FlattenLayers(document);
    } else if (Below(2) == 0) {
      AddPaintedLayer(document, Noise(300, 280), Document(document), {.name = "painted"});
    } else {
      AddLayer(document, Noise(100, 400), {.name = "layer"});
    }
  }
  void Opacity() {
    SetLayerOpacity(document, SomeLayer(), static_cast<float>(Unit()));
    SetLayerVisible(document, SomeLayer(), Below(2) == 0);
  }
  void Order() { MoveLayer(document, SomeLayer(), Below(4)); }

  std::mt19937 random_{20240607};
};

TEST(Actions, TenThousandRandomOnesCanBeUndoneAndDoneAgain) {
  constexpr size_t kActions = 10000;
  constexpr size_t kEvery = 500;
  Session session;
  std::vector<std::pair<size_t, Document>> versions = {{0, session.document}};
  for (size_t i = 1; i <= kActions; ++i) {
    session.DoSomething();
    if (i % kEvery == 0) versions.emplace_back(session.history.position(), session.document);
  }
  ASSERT_GT(session.history.size(), kActions / 2);
  EXPECT_GT(session.history.vault().file_bytes(), size_t{1} << 20);
  Document document = session.document;
  const auto expect_version = [&] {
    const auto found = std::ranges::find(versions, session.history.position(),
                                         [](const auto& version) { return version.first; });
    if (found == versions.end()) return;
    EXPECT_TRUE(document == found->second) << found->first;
  };
  while (session.history.Undo(document)) expect_version();
  EXPECT_TRUE(document == versions.front().second);
  while (session.history.Redo(document)) expect_version();
  EXPECT_TRUE(document == session.document);
  // Back and forth at random.
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    if (random() % 2 == 0) {
      session.history.Undo(document);
    } else {
      session.history.Redo(document);
    }
    expect_version();
  }
  while (session.history.Redo(document)) {
  }
  EXPECT_TRUE(document == session.document);
}

TEST(Actions, StrokesOnALargeCanvasTakeLittleMemory) {
  Document document(4096, 4096);
  History history(size_t{8} << 20);
  std::mt19937 random(3);
  const auto somewhere = [&] { return static_cast<double>(random() % 4096); };
  for (int i = 0; i < 100; ++i) {
    const Document before = document;
    Stroke stroke(document.mask, {.size = 200, .hardness = 0.5}, false);
    const Point start = {somewhere(), somewhere()};
    stroke.LineTo(start);
    stroke.LineTo({start.x + 500, start.y + 300});
    history.Push("stroke", before, document);
    EXPECT_LE(history.vault().memory_bytes(), size_t{8} << 20);
  }
  EXPECT_EQ(history.size(), 100u);
  while (history.Undo(document)) {
  }
  EXPECT_TRUE(document.mask.IsZero());
}

}  // namespace
}  // namespace gesso::ui
