// Masks, crops and masked content, pixel by pixel and against slow definitions.
#include "pipelines/mask/mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/core/parallel.h"
#include "pipelines/mask/crop.h"
#include "pipelines/mask/masked_content.h"
#include "pipelines/mask/over.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using Pixels = std::vector<uint8_t>;
using testing_support::ExpectError;

Image Grey(int width, int height, Pixels pixels) { return {width, height, 1, std::move(pixels)}; }

Image RandomMask(int width, int height, unsigned seed) {
  std::minstd_rand random(seed);
  Pixels pixels(static_cast<size_t>(width * height));
  for (uint8_t& pixel : pixels) {
    pixel = random() % 8 == 0 ? static_cast<uint8_t>(random() % 256) : 0;
  }
  return Grey(width, height, pixels);
}

TEST(GrowMask, TakesTheLightestOrDarkestWithinItsReach) {
  for (const auto& [width, height] : {std::pair{13, 9}, {1, 1}, {70, 5}, {3, 130}}) {
    for (const int reach : {1, 2, 3, 7, 40, -1, -2, -5, -40}) {
      const Image mask = RandomMask(width, height, 7);
      Image grown = mask;
      GrowMask(grown, reach);
      const int far = std::abs(reach);
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          int want = reach > 0 ? 0 : 255;
          for (int v = std::max(y - far, 0); v <= std::min(y + far, height - 1); ++v) {
            for (int u = std::max(x - far, 0); u <= std::min(x + far, width - 1); ++u) {
              const int pixel = mask.pixels[static_cast<size_t>(v * width + u)];
              want = reach > 0 ? std::max(want, pixel) : std::min(want, pixel);
            }
          }
          ASSERT_EQ(grown.pixels[static_cast<size_t>(y * width + x)], want)
              << width << "x" << height << " by " << reach << " at " << x << "," << y;
        }
      }
    }
  }
}

TEST(FeatherMask, IsNearAGaussianAndEndsSomewhere) {
  for (const int deviation : {1, 2, 5, 12}) {
    Image mask = Grey(200, 3, Pixels(600, 0));
    for (int y = 0; y < 3; ++y) {
      std::fill_n(mask.pixels.begin() + y * 200 + 100, 100, uint8_t{255});
    }
    FeatherMask(mask, deviation);
    for (int x = 0; x < 200; ++x) {
      const double want = 127.5 * (1 + std::erf((x - 99.5) / deviation / std::sqrt(2)));
      EXPECT_NEAR(mask.pixels[static_cast<size_t>(200 + x)], want, deviation == 1 ? 18 : 8) << x;
      EXPECT_EQ(mask.pixels[static_cast<size_t>(x)], mask.pixels[static_cast<size_t>(400 + x)]);
    }
    EXPECT_EQ(mask.pixels[static_cast<size_t>(100 - 3 * deviation - 2)], 0);
    EXPECT_EQ(mask.pixels[static_cast<size_t>(99 + 3 * deviation + 2)], 255);
  }
}

TEST(FeatherMask, HasThesePixels) {
  // A deviation of 1 is two means of three.
  Image mask = Grey(5, 1, {0, 0, 255, 0, 0});
  FeatherMask(mask, 1);
  EXPECT_EQ(mask.pixels, Pixels({28, 57, 85, 57, 28}));
  // Borders go on: what is white or black everywhere stays so.
  for (const uint8_t value : {0, 255, 99}) {
    Image even = Grey(40, 30, Pixels(1200, value));
    FeatherMask(even, 9);
    GrowMask(even, 3);
    GrowMask(even, -5);
    EXPECT_EQ(even.pixels, Pixels(1200, value));
  }
}

TEST(Masks, AreTheSameOnAnyNumberOfThreads) {
  const int threads = NumThreads();
  std::vector<Pixels> made;
  for (const int count : {1, 3}) {
    SetNumThreads(count);
    Image mask = RandomMask(300, 200, 3);
    GrowMask(mask, 4);
    FeatherMask(mask, 6);
    made.push_back(mask.pixels);
  }
  SetNumThreads(threads);
  EXPECT_EQ(made[0], made[1]);
}

TEST(Masks, AreInvertedAndKnownToBeSoft) {
  Image mask = Grey(3, 1, {0, 255, 0});
  EXPECT_FALSE(IsSoft(mask));
  InvertMask(mask);
  EXPECT_EQ(mask.pixels, Pixels({255, 0, 255}));
  mask.pixels[1] = 254;
  EXPECT_TRUE(IsSoft(mask));
}

TEST(BoundsOf, AreThoseOfWhatIsPainted) {
  Image mask = Grey(6, 5, Pixels(30, 0));
  EXPECT_FALSE(BoundsOf(mask));
  mask.pixels[1 * 6 + 4] = 1;
  EXPECT_EQ(BoundsOf(mask), (Rect{4, 1, 1, 1}));
  mask.pixels[3 * 6 + 2] = 255;
  EXPECT_EQ(BoundsOf(mask), (Rect{2, 1, 3, 3}));
  mask.pixels.assign(30, 9);
  EXPECT_EQ(BoundsOf(mask), (Rect{0, 0, 6, 5}));
}

TEST(CropAround, HasTheModelsAspectInsideThePicture) {
  const Image picture{200, 100, 1, {}};
  EXPECT_EQ(CropAround({50, 40, 20, 10}, 0, 64, 64, picture), (Rect{50, 35, 20, 20}));
  EXPECT_EQ(CropAround({50, 40, 20, 10}, 5, 64, 64, picture), (Rect{45, 30, 30, 30}));
  // In a corner it moves inside, and its padding ends at the border.
  EXPECT_EQ(CropAround({0, 0, 10, 4}, 5, 64, 64, picture), (Rect{0, 0, 15, 15}));
  EXPECT_EQ(CropAround({190, 96, 10, 4}, 5, 64, 64, picture), (Rect{185, 85, 15, 15}));
  EXPECT_EQ(CropAround({50, 40, 20, 10}, 0, 128, 64, picture), (Rect{50, 40, 20, 10}));
  EXPECT_EQ(CropAround({50, 40, 21, 10}, 0, 64, 128, picture), (Rect{50, 24, 21, 42}));
  // Larger than the picture: as far beyond it on both sides.
  EXPECT_EQ(CropAround({0, 0, 200, 100}, 16384, 64, 64, picture), (Rect{0, -50, 200, 200}));
}

TEST(CutOut, GoesOnBeyondTheBorderAndIsPastedByTheMask) {
  Image picture{3, 2, 3, Pixels(18)};
  for (size_t i = 0; i < 18; ++i) picture.pixels[i] = static_cast<uint8_t>(10 * i);
  const Image part = CutOut(picture, {1, -1, 3, 2});
  EXPECT_EQ(part.pixels,
            Pixels({30, 40, 50, 60, 70, 80, 60, 70, 80, 30, 40, 50, 60, 70, 80, 60, 70, 80}));
  Image pasted = picture;
  const Image white{3, 2, 3, Pixels(18, 255)};
  Paste(white, 1, -1, Grey(3, 2, {255, 51, 255, 255, 255, 255}), pasted);
  Pixels want = picture.pixels;
  want[3] = 75;  // 30 + 0.2 * 225
  want[4] = 83;
  want[5] = 91;
  want[6] = want[7] = want[8] = 255;
  EXPECT_EQ(pasted.pixels, want);
}

TEST(ScaledMask, LosesNothingThatIsThin) {
  // 7 pixels on 3: 0 1 2 | 2 3 4 | 4 5 6, as an axis covers parts of a pixel too.
  EXPECT_EQ(ScaledMask(Grey(7, 1, {0, 9, 0, 0, 0, 0, 0}), 3, 1).pixels, Pixels({9, 0, 0}));
  EXPECT_EQ(ScaledMask(Grey(7, 1, {0, 0, 255, 0, 0, 0, 7}), 3, 1).pixels, Pixels({255, 255, 7}));
  EXPECT_EQ(ScaledMask(Grey(1, 7, {0, 0, 0, 3, 0, 8, 0}), 1, 3).pixels, Pixels({0, 3, 8}));
  const Image mask = RandomMask(130, 77, 5);
  EXPECT_EQ(ScaledMask(mask, 130, 77).pixels, mask.pixels);
  const Image small = ScaledMask(mask, 13, 11);
  for (int y = 0; y < 11; ++y) {
    for (int x = 0; x < 13; ++x) {
      uint8_t want = 0;
      for (int v = 7 * y; v < 7 * y + 7; ++v) {
        for (int u = 10 * x; u < 10 * x + 10; ++u) {
          want = std::max(want, mask.pixels[static_cast<size_t>(v * 130 + u)]);
        }
      }
      ASSERT_EQ(small.pixels[static_cast<size_t>(y * 13 + x)], want) << x << "," << y;
    }
  }
  // Where it grows, a line stays white in its middle.
  const Image large = ScaledMask(Grey(5, 1, {0, 0, 255, 0, 0}), 15, 1);
  EXPECT_EQ(large.pixels[7], 255);
  EXPECT_EQ(large.pixels[0], 0);
}

TEST(Paste, PutsALayerOverWhatIsTransparent) {
  // Opaque, half transparent, transparent with a hidden colour; below them the mask.
  const Pixels before = {100, 50, 0, 255, 100, 50, 0, 128, 9, 8, 7, 0};
  const Image part{3, 1, 3, Pixels({200, 200, 200, 200, 200, 200, 200, 200, 200})};
  const auto pasted = [&](uint8_t paint, const Image& over) {
    Image image{3, 1, 4, before};
    Paste(over, 0, 0, Grey(3, 1, Pixels(3, paint)), image);
    return image.pixels;
  };
  EXPECT_EQ(pasted(0, part), before);
  const Pixels opaque = {200, 200, 200, 255};
  const Pixels full = pasted(255, part);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(std::ranges::equal(opaque, std::span(full).subspan(4 * i, 4)));
  // Under 102 = 0.4: alpha a + 0.4 (1 - a); colours in proportion to 0.6 a and 0.4.
  EXPECT_EQ(pasted(102, part), Pixels({140, 110, 80, 255, 157, 136, 114, 179, 200, 200, 200, 102}));
  EXPECT_EQ(pasted(255, Grey(3, 1, {1, 2, 3})), Pixels({1, 1, 1, 255, 2, 2, 2, 255, 3, 3, 3, 255}));
}

TEST(TakeApart, GivesTheLayerThatMakesThePixel) {
  using Pixel = std::array<uint8_t, 4>;
  const auto apart = [](const Pixel& below, Pixel pixel) {
    TakeApart(below.data(), pixel.data());
    return pixel;
  };
  const Pixel glass = {100, 50, 0, 128};
  EXPECT_EQ(apart(glass, {157, 136, 114, 179}), (Pixel{199, 200, 198, 103}));  // 200 under 102
  EXPECT_EQ(apart(glass, glass), Pixel{});
  EXPECT_EQ(apart(glass, {1, 2, 3, 255}), (Pixel{1, 2, 3, 255}));
  EXPECT_EQ(apart({9, 8, 7, 0}, {1, 2, 3, 40}), (Pixel{1, 2, 3, 40}));
  EXPECT_EQ(apart(glass, {1, 2, 3, 90}), Pixel{});  // no layer takes alpha away
  // There and back again to the byte, whatever the alpha and the mask.
  const std::array<std::array<uint8_t, 3>, 3> colours = {
      {{0, 90, 255}, {255, 128, 3}, {31, 200, 77}}};
  for (int alpha = 0; alpha < 256; ++alpha) {
    for (int paint = 0; paint < 256; ++paint) {
      for (size_t i = 0; i < 9; ++i) {
        const auto& c = colours[i / 3];
        const Pixel below = {c[0], c[1], c[2], static_cast<uint8_t>(alpha)};
        Pixel pixel = below;
        PutOver(colours[i % 3], paint, pixel.data());
        const Pixel layer = apart(below, pixel);
        Pixel again = below;
        PutOver(std::span(layer).first<3>(), layer[3], again.data());
        ASSERT_EQ(again, pixel) << alpha << " under " << paint;
      }
    }
  }
}

TEST(MaskedContent, IsKeptBlurredNoisyOrAColour) {
  Image image{4, 1, 3, {1, 2, 3, 100, 100, 100, 100, 100, 100, 201, 202, 203}};
  const Image mask = Grey(4, 1, {0, 255, 255, 0});
  const auto filled = [&](std::string_view kind) {
    Image result = image;
    FillMasked(mask, kind, result);
    EXPECT_TRUE(std::equal(result.pixels.begin(), result.pixels.begin() + 3, image.pixels.begin()));
    EXPECT_TRUE(
        std::equal(result.pixels.begin() + 9, result.pixels.end(), image.pixels.begin() + 9));
    return Pixels(result.pixels.begin() + 3, result.pixels.begin() + 9);
  };
  EXPECT_EQ(filled("keep"), Pixels(6, 100));
  EXPECT_EQ(filled("#0aFf10"), Pixels({10, 255, 16, 10, 255, 16}));
  // Coarse pixels are 1,2,3 and 201,202,203, of which the nearer one has three quarters.
  EXPECT_EQ(filled("blur"), Pixels({51, 52, 53, 151, 152, 153}));
  const Pixels noise = filled("noise");
  EXPECT_NE(noise, Pixels(6, 100));
  EXPECT_EQ(filled("noise"), noise);
}

TEST(MaskedContent, IsMixedInByTheMask) {
  Image image{2, 1, 1, {100, 100}};
  FillMasked(Grey(2, 1, {51, 255}), "#ffffff", image);
  EXPECT_EQ(image.pixels, Pixels({131, 255}));
  Image all{3, 2, 3, Pixels(18, 7)};
  FillMasked(Grey(3, 2, Pixels(6, 255)), "blur", all);
  EXPECT_EQ(all.pixels, Pixels(18, 128)) << "grey where nothing is around";
}

TEST(MaskedContent, FlowsSmoothlyIntoLargeHoles) {
  constexpr int kSide = 67;
  Image image{kSide, kSide, 1, Pixels(kSide * kSide)};
  Image mask = Grey(kSide, kSide, Pixels(kSide * kSide, 255));
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      image.pixels[static_cast<size_t>(y * kSide + x)] = static_cast<uint8_t>(3 * x);
      const bool is_inside = x > 3 && x < kSide - 4 && y > 3 && y < kSide - 4;
      mask.pixels[static_cast<size_t>(y * kSide + x)] = is_inside ? 255 : 0;
    }
  }
  FillMasked(mask, "blur", image);
  const auto middle = image.pixels.begin() + kSide / 2 * kSide;
  EXPECT_LT(middle[6], middle[33]);
  EXPECT_LT(middle[33], middle[60]);
  EXPECT_NEAR(middle[33], 99, 20);
}

TEST(MaskedContent, NamesWhatThereIs) {
  for (const char* kind : {"fill", "", "#12345", "#12345g", "#1234567", "KEEP", "# 12345"}) {
    ExpectError(ErrorKind::kUsage, "keep, blur, noise, a colour as #rrggbb",
                [&] { CheckMaskedContent(kind); });
  }
  CheckMaskedContent("#00ff7F");
}

}  // namespace
}  // namespace gesso
