// WebP pictures there and back, and files that are none; what a build without them says.
#include <gtest/gtest.h>

#include "pipelines/media/image_file.h"
#include "pipelines/media/picture_format.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

Image Pattern(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int i = 0; i < width * height * channels; ++i) {
    image.pixels.push_back(static_cast<uint8_t>((i * 31 + i / 7) % 256));
  }
  return image;
}

// A RIFF file of one chunk.
std::string Riff(const std::string& kind, const std::string& data) {
  const auto size = [](size_t value) {
    std::string four;
    for (int i = 0; i < 4; ++i) four += static_cast<char>(value >> (8 * i) & 0xff);
    return four;
  };
  return "RIFF" + size(data.size() + 12) + "WEBP" + kind + size(data.size()) + data;
}

TEST(Webp, KeepsEveryByte) {
  const PictureFormat* webp = FindPictureFormat("a.WEBP");
  if (webp == nullptr) GTEST_SKIP() << "this build has no libwebp";
  for (const int channels : {1, 3, 4}) {
    const Image image = Pattern(37, 21, channels);
    const Image back = DecodeImage(webp->encode(image, {}), channels, "a.webp");
    EXPECT_EQ(back.width, 37);
    EXPECT_EQ(back.height, 21);
    EXPECT_EQ(back.pixels, image.pixels) << channels;
  }
  // With other channels than the file has: the same as of a PNG file.
  const Image rgba = Pattern(9, 5, 4);
  for (const int channels : {1, 3, 4}) {
    EXPECT_EQ(DecodeImage(webp->encode(rgba, {}), channels, "a.webp").pixels,
              DecodeImage(EncodePng(rgba, {}), channels, "a.png").pixels)
        << channels;
  }
  ExpectError(ErrorKind::kUnsupported, {"16384 x 1", "save it as .png"},
              [&] { webp->encode(Pattern(16384, 1, 1), {}); });
}

TEST(Webp, RefusesWhatCannotBeRead) {
  const auto refuses = [](ErrorKind kind, const std::string& bytes, const std::string& words) {
    ExpectError(kind, {"a.webp: " + words}, [&] { DecodeImage(bytes, 3, "a.webp"); });
  };
  const PictureFormat* webp = FindPictureFormat("a.webp");
  if (webp == nullptr) {
    return refuses(ErrorKind::kUnsupported, Riff("VP8L", "/"), "is a WebP picture, which this");
  }
  const std::string whole = webp->encode(Pattern(37, 21, 3), {});
  refuses(ErrorKind::kFormat, whole.substr(0, 20), "is no whole WebP picture");
  refuses(ErrorKind::kFormat, whole.substr(0, whole.size() / 2), "cannot be decoded");
  refuses(ErrorKind::kFormat, Riff("nope", "1234"), "is no whole WebP picture");
  // 16384 x 16384 pixels in 25 bytes.
  refuses(ErrorKind::kFormat, Riff("VP8L", std::string("/\xff\xff\xff\x0f\0", 6)),
          "16384 x 16384 pixels");
  refuses(ErrorKind::kUnsupported, Riff("VP8X", std::string("\x02\0\0\0\x09\0\0\x04\0\0", 10)),
          "is a WebP picture that moves");
}

}  // namespace
}  // namespace gesso
