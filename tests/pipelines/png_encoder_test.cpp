// Pictures as PNG files: every pixel as another decoder (stb's) reads it, what the file holds
// beside them, and too little memory.
#include "pipelines/media/png_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <random>

#include "pipelines/media/image_file.h"
#include "pipelines/media/png.h"

namespace gesso {
namespace {

using ::testing::Each;
using ::testing::Ge;

Image Blank(int width, int height, int channels) {
  return {width, height, channels,
          std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height) *
                               static_cast<size_t>(channels))};
}

Image Noise(int width, int height, int channels) {
  Image image = Blank(width, height, channels);
  std::mt19937 random(1);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(random());
  return image;
}

// Colours that change slowly, each channel along an axis of its own.
Image Slope(int width, int height, int channels) {
  Image image = Blank(width, height, channels);
  size_t i = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels[i++] = static_cast<uint8_t>((c == 0 ? x : c == 1 ? y : x + y) / 2);
      }
    }
  }
  return image;
}

void ExpectSurvives(const Image& image) {
  const Image back = DecodeImage(EncodePngPixels(image), image.channels, "a.png");
  EXPECT_EQ(back.width, image.width);
  EXPECT_EQ(back.height, image.height);
  EXPECT_TRUE(back.pixels == image.pixels)  // a message with all of them would help nobody
      << image.width << " x " << image.height << " x " << image.channels;
}

TEST(PngEncoder, KeepsEveryPixelOfEveryShape) {
  for (const int channels : {1, 3, 4}) {
    for (const auto& [width, height] :
         {std::pair(1, 1), {1, 7}, {7, 1}, {13, 7}, {256, 256}, {259, 131}, {2011, 1013}}) {
      ExpectSurvives(Noise(width, height, channels));
      ExpectSurvives(Slope(width, height, channels));
    }
  }
}

TEST(PngEncoder, KeepsASideOfMoreThanAMillionPixels) { ExpectSurvives(Noise(1500001, 1, 3)); }

// Colour types of the standard, section 11.2.1: 0 grey, 2 RGB, 6 RGBA.
TEST(PngEncoder, WritesAHeaderAndPixelsAndNothingElse) {
  const std::map<int, char> colours = {{1, '\0'}, {3, '\2'}, {4, '\6'}};
  for (const int channels : {1, 3, 4}) {
    std::vector<std::string> types;
    ForEachPngChunk(EncodePngPixels(Noise(100, 60, channels)),
                    [&](std::string_view type, std::string_view data) {
                      types.emplace_back(type);
                      if (type != "IHDR") return;
                      EXPECT_EQ(data, PngInteger(100) + PngInteger(60) + '\x08' +
                                          colours.at(channels) + std::string(3, '\0'));
                    });
    ASSERT_THAT(types.size(), Ge(3u));
    EXPECT_EQ(types.front(), "IHDR");
    EXPECT_EQ(types.back(), "IEND");
    EXPECT_THAT(std::vector(types.begin() + 1, types.end() - 1), Each("IDAT"));
  }
}

TEST(PngEncoder, TheSamePixelsMakeTheSameBytes) {
  const Image image = Noise(300, 200, 3);
  EXPECT_TRUE(EncodePngPixels(image) == EncodePngPixels(image));
}

TEST(PngEncoder, FilesAreSmallWherePicturesAreSmooth) {
  for (const int channels : {1, 3, 4}) {
    const Image noise = Noise(256, 256, channels);
    const size_t bytes = noise.pixels.size();
    EXPECT_LT(EncodePngPixels(noise).size(), bytes * 101 / 100);
    EXPECT_LT(EncodePngPixels(Slope(256, 256, channels)).size(), bytes / 5);
    EXPECT_LT(EncodePngPixels(Blank(256, 256, channels)).size(), bytes / 100);
  }
}

// The exit status of a process with next to no memory that encodes `image`: 0 for the right error.
[[noreturn]] void EncodeWithoutMemory(const Image& image, rlim_t used) {
  const rlim_t limit = used + (rlim_t{8} << 20);
  const rlimit limits{limit, limit};
  if (setrlimit(RLIMIT_AS, &limits) != 0) _exit(2);
  try {
    EncodePngPixels(image);
  } catch (const Error& error) {
    _exit(error.kind() == ErrorKind::kMemory ? 0 : 3);
  }
  _exit(4);
}

TEST(PngEncoder, SaysThatMemoryIsShort) {
  const auto used = [] {
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
  };
  if (used() >> 40 != 0) GTEST_SKIP() << "sanitizers need all the address space";
  // Too large is the file of the first, which is ours, and a row of the second, which is libpng's.
  for (const Image& image : {Noise(4000, 4000, 3), Blank(1 << 25, 1, 3)}) {
    EXPECT_EXIT(EncodeWithoutMemory(image, used()), testing::ExitedWithCode(0), "");
  }
}

}  // namespace
}  // namespace gesso
