#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "models/io/json.h"
#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "pipelines/media/png.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Image Gradient(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int i = 0; i < width * height * channels; ++i) {
    image.pixels.push_back(static_cast<uint8_t>(i * 7 % 256));
  }
  return image;
}

class Folder : public ::testing::Test {
 protected:
  Folder() : path_(fs::temp_directory_path() / ("gesso_media_test_" + std::to_string(getpid()))) {
    fs::create_directory(path_);
  }
  ~Folder() override { fs::remove_all(path_); }
  size_t CountFiles() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }
  fs::path path_;
};

TEST(Png, KeepsPixelsAndTexts) {
  const std::vector<PngText> texts = {{"parameters", "ä prompt\nSteps: 20"}, {"gesso", "{}"}};
  for (const int channels : {1, 3, 4}) {
    const Image image = Gradient(13, 7, channels);
    const std::string png = EncodePng(image, texts);
    const Image back = DecodeImage(png, channels, "test");
    EXPECT_EQ(back.width, 13);
    EXPECT_EQ(back.height, 7);
    EXPECT_EQ(back.pixels, image.pixels);
    EXPECT_EQ(ReadPngText(png, "test"), texts);
  }
}

TEST(Png, KeepsAMegabyteOfText) {
  const std::vector<PngText> texts = {{"parameters", std::string(1 << 20, 'a')}};
  EXPECT_EQ(ReadPngText(EncodePng(Gradient(2, 2, 3), texts), "test"), texts);
}

TEST(Png, RefusesEveryTruncationAndEveryFlippedByte) {
  const std::string png = EncodePng(Gradient(3, 3, 3), {{"gesso", "{}"}});
  for (size_t length = 0; length < png.size(); ++length) {
    EXPECT_THROW(ReadPngText(png.substr(0, length), "test"), Error) << length;
  }
  for (size_t at = 0; at < png.size(); ++at) {
    std::string damaged = png;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    EXPECT_THROW(ReadPngText(damaged, "test"), Error) << at;
  }
}

// Chunks written by Python's zlib.
TEST(Png, ReadsLatin1AndCompressedText) {
  const std::string signature = "\x89PNG\r\n\x1a\n";
  const std::string header(
      "\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00"
      "\x00\x3a\x7e\x9b\x55",
      25);
  const std::string latin1(
      "\x00\x00\x00\x06\x74\x45\x58\x74\x61\x00\x63\x61\x66\xe9\x5f\x96\xa4\x6f", 18);
  const std::string folded(
      "\x00\x00\x00\x0f\x7a\x54\x58\x74\x62\x00\x00\x78\x9c\x4b\x4c\x4a\x44\x81\x00\x33"
      "\xd8\x06\x19\x2c\xca\xdc\xc6",
      27);
  const std::string folded_utf8(
      "\x00\x00\x00\x15\x69\x54\x58\x74\x63\x00\x01\x00\x65\x6e\x00\x00\x78\x9c\x3b\xbc"
      "\xf2\x30\x18\x02\x00\x19\xd4\x05\xb1\xed\x31\x23\x19",
      33);
  const std::string end("\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82", 12);
  const std::vector<PngText> expected = {
      {"a", "caf\u00e9"}, {"b", "abababababababab"}, {"c", "\u00e9\u00e9\u00e9\u00e9"}};
  EXPECT_EQ(ReadPngText(signature + header + latin1 + folded + folded_utf8 + end, "test"),
            expected);
}

TEST(Png, RefusesTextThatUnfoldsTooFar) {
  const fs::path bomb = fs::path(GESSO_SOURCE_DIR) / "tests/data/media/unfolds_to_5_mib.png";
  try {
    ReadMetadata(bomb);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    EXPECT_THAT(error.what(), HasSubstr("larger than"));
  }
}

TEST(Png, BoundsTheTextOfAllChunksTogether) {
  const std::string picture = EncodePng(Gradient(3, 3, 3), {});
  const PngText megabyte{"gesso", std::string(size_t{1} << 20, 'x')};
  EXPECT_EQ(ReadPngText(AddPngText(picture, std::vector(16, megabyte)), "x").size(), 16u);
  try {
    ReadPngText(AddPngText(picture, std::vector(17, megabyte)), "x.png");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    EXPECT_THAT(error.what(), HasSubstr("x.png: has more than 16777216 bytes of text"));
  }
}

// A PNG file of one row with 16 bits a value, in zlib's block without compression.
std::string PngOf16Bits(uint8_t colour, int width, const std::vector<uint16_t>& values) {
  const auto two = [](size_t value) { return PngInteger(static_cast<uint32_t>(value)).substr(2); };
  std::string row(1, '\0');  // no filter
  for (const uint16_t value : values) row += two(value);
  const std::string length = {static_cast<char>(row.size()), static_cast<char>(row.size() >> 8)};
  std::string packed = "\x78\x01\x01" + length;
  for (const char byte : length) packed += static_cast<char>(~byte);
  uint32_t a = 1;
  uint32_t b = 0;
  for (const char byte : row) {
    a = (a + static_cast<uint8_t>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  packed += row + PngInteger(b << 16 | a);
  const std::string header = PngInteger(static_cast<uint32_t>(width)) + PngInteger(1) + '\x10' +
                             static_cast<char>(colour) + std::string(3, '\0');
  return std::string(kPngSignature) + PngChunk("IHDR", header) + PngChunk("IDAT", packed) +
         PngChunk("IEND", "");
}

// Of 257 values each 8-bit one stands for, the middle one is exact.
TEST(Png, Rounds16BitsTo8) {
  constexpr uint8_t kGreyColour = 0;
  constexpr uint8_t kRgba = 6;
  const std::string grey = PngOf16Bits(
      kGreyColour, 12, {0, 128, 129, 255, 257, 385, 386, 32767, 32768, 65406, 65407, 65535});
  EXPECT_EQ(DecodeImage(grey, 1, "a.png").pixels,
            (std::vector<uint8_t>{0, 0, 1, 1, 1, 1, 2, 127, 128, 254, 255, 255}));
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for (size_t begin = 0; begin < all.size(); begin += 16384) {
    const std::vector<uint16_t> part(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                     all.begin() + static_cast<std::ptrdiff_t>(begin) + 16384);
    const Image image = DecodeImage(PngOf16Bits(kGreyColour, 16384, part), 1, "a.png");
    for (size_t i = 0; i < part.size(); ++i) {
      ASSERT_EQ(image.pixels[i], std::lround(part[i] / 257.0)) << part[i];
    }
  }
  const std::string rgba = PngOf16Bits(kRgba, 1, {129, 386, 65407, 32768});
  EXPECT_EQ(DecodeImage(rgba, 4, "a.png").pixels, (std::vector<uint8_t>{1, 2, 255, 128}));
  EXPECT_EQ(DecodeImage(rgba, 3, "a.png").pixels, (std::vector<uint8_t>{1, 2, 255}));
}

TEST(Png, RefusesAPictureThatIsNone) {
  EXPECT_THROW(DecodeImage("", 3, "empty.png"), Error);
  EXPECT_THROW(DecodeImage("GIF89a", 3, "a.gif"), Error);
  EXPECT_THROW(ReadPngText("\x89PNG\r\n\x1a\n", "test"), Error);
}

TEST(Png, RefusesAPictureThatDeclaresTooManyPixels) {
  // A 30000 x 30000 header, which nothing follows.
  const std::string bomb(
      "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0\0\0\0\0", 33);
  try {
    DecodeImage(bomb, 3, "bomb.png");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat);
    EXPECT_THAT(error.what(), HasSubstr("bomb.png"));
  }
}

TEST(Png, RefusesAPictureWithoutPixels) {
  const std::string empty("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0\0\0\0\0\x08\x02\0\0\0\0\0\0\0",
                          33);
  ExpectError(ErrorKind::kFormat, {"empty.png: is 0 x 0 pixels, without"},
              [&] { DecodeImage(empty, 3, "empty.png"); });
}

TEST_F(Folder, SizesAreReadFromHeadersAlone) {
  const fs::path path = path_ / "picture";
  const std::string png = EncodePng(Gradient(13, 7, 3), {});
  const std::string jpeg = EncodeJpeg(Gradient(19, 5, 3));
  const auto expect_size = [&](int width, int height) {
    const ImageSize size = ReadImageSize(path);
    EXPECT_EQ(size.width, width);
    EXPECT_EQ(size.height, height);
  };
  const auto bytes_read = [] {  // by the process so far
    std::string name;
    int64_t count = -1;
    std::ifstream("/proc/self/io") >> name >> count;
    EXPECT_EQ(name, "rchar:");
    return count;
  };
  for (const auto& [bytes, width, height] :
       {std::tuple(png.substr(0, 33), 13, 7), std::tuple(jpeg, 19, 5)}) {
    WriteFile(path, bytes, true);
    fs::resize_file(path, size_t{256} << 20);  // zeros, which take no room on disk
    const int64_t before = bytes_read();
    expect_size(width, height);
    EXPECT_LT(bytes_read() - before, 10000);
  }
  fs::resize_file(path, (size_t{256} << 20) + 1);
  ExpectError(ErrorKind::kFormat, {"picture: is larger than 268435456 bytes"},
              [&] { ReadImageSize(path); });
  ExpectError(ErrorKind::kIo, {"not a regular file"}, [&] { ReadImageSize(path_); });
  ExpectError(ErrorKind::kIo, {"nix", "cannot be opened"}, [&] { ReadImageSize(path_ / "nix"); });
}

TEST(Metadata, ComesBackFromAPicture) {
  Request request;
  request.prompt = "a red apple";
  request.seed = 42;
  Request other = request;
  other.seed = 43;
  const Image image = Gradient(4, 4, 3);
  EXPECT_EQ(ParseMetadata(EncodePng(image, MetadataOf({request})), "one"),
            std::vector<Request>{request});
  EXPECT_EQ(ParseMetadata(EncodePng(image, MetadataOf({request, other})), "sheet"),
            (std::vector<Request>{request, other}));
}

TEST(Metadata, OfAStrangerIsRefused) {
  const Image image = Gradient(4, 4, 3);
  EXPECT_THROW(ParseMetadata(EncodePng(image, {}), "none"), Error);
  EXPECT_THROW(ParseMetadata(EncodePng(image, {{"gesso", "no json"}}), "bad"), Error);
  EXPECT_THROW(ParseMetadata(EncodePng(image, {{"gesso", "{\"zoom\":2}"}}), "bad"), Error);
  EXPECT_THROW(ParseMetadata(EncodePng(image, {{"gesso", "[]"}}), "bad"), Error);
}

TEST(ResizeAndCrop, KeepsTheMiddle) {
  // Left third black, middle white, right black: the square middle of a 3:1 picture is white.
  Image wide{30, 10, 1, std::vector<uint8_t>(300, 0)};
  for (size_t y = 0; y < 10; ++y) {
    for (size_t x = 10; x < 20; ++x) wide.pixels[y * 30 + x] = 255;
  }
  const Image square = ResizeAndCrop(wide, 10, 10);
  EXPECT_EQ(square.pixels, std::vector<uint8_t>(100, 255));
  const Image same = ResizeAndCrop(wide, 30, 10);
  EXPECT_EQ(same.pixels, wide.pixels);
  const Image half = ResizeAndCrop(wide, 6, 2);
  EXPECT_LT(half.pixels[0], 8);
  EXPECT_GT(half.pixels[3], 230);
}

TEST(Sheet, LaysPicturesOutRowByRow) {
  std::vector<Image> images;
  for (uint8_t i = 0; i < 3; ++i) images.push_back({2, 2, 1, std::vector<uint8_t>(4, i)});
  const Image sheet = MakeSheet(images);
  EXPECT_EQ(sheet.width, 10);
  EXPECT_EQ(sheet.height, 10);
  EXPECT_EQ(sheet.pixels[2 * 10 + 2], 0);
  EXPECT_EQ(sheet.pixels[2 * 10 + 6], 1);
  EXPECT_EQ(sheet.pixels[6 * 10 + 2], 2);
  EXPECT_EQ(sheet.pixels[6 * 10 + 6], 128);
  images.push_back({3, 2, 1, std::vector<uint8_t>(6, 0)});
  EXPECT_THROW(MakeSheet(images), Error);
}

TEST(Sheet, TakesTransparentPicturesBesideOpaqueOnes) {
  const Image sheet =
      MakeSheet({{1, 1, 3, {10, 20, 30}}, {1, 1, 4, {40, 50, 60, 70}}, {1, 1, 1, {80}}});
  ASSERT_EQ(sheet.channels, 4);
  ASSERT_EQ(sheet.width, 8);
  const auto at = [&](size_t x, size_t y) {
    const auto pixel = sheet.pixels.begin() + static_cast<std::ptrdiff_t>(4 * (y * 8 + x));
    return std::vector<uint8_t>(pixel, pixel + 4);
  };
  EXPECT_EQ(at(0, 0), (std::vector<uint8_t>{128, 128, 128, 255}));
  EXPECT_EQ(at(2, 2), (std::vector<uint8_t>{10, 20, 30, 255}));
  EXPECT_EQ(at(5, 2), (std::vector<uint8_t>{40, 50, 60, 70}));
  EXPECT_EQ(at(2, 5), (std::vector<uint8_t>{80, 80, 80, 255}));
}

TEST_F(Folder, OutputAppearsWholeOrNotAtAll) {
  const fs::path file = path_ / "out.png";
  {
    OutputFile output(file, false);
    output.Write(std::as_bytes(std::span("half", 4)));
    EXPECT_FALSE(fs::exists(file));
  }
  EXPECT_EQ(CountFiles(), 0u);
  WriteFile(file, "whole", false);
  EXPECT_EQ(ReadFile(file, 100), "whole");
  EXPECT_EQ(CountFiles(), 1u);
}

TEST_F(Folder, OutputTouchesNothingElseWhileItIsWritten) {
  std::ofstream(path_ / "out.png.part") << "mine";
  std::ofstream(path_ / "victim") << "mine too";
  fs::create_symlink("victim", path_ / "link.png.part");
  const size_t before = CountFiles();
  {
    OutputFile one(path_ / "out.png", true);
    OutputFile other(path_ / "out.png", true);  // as another process writes it
    OutputFile link(path_ / "link.png", true);
    EXPECT_EQ(CountFiles(), before + 3);
    one.Write(std::as_bytes(std::span("one", 3)));
    other.Write(std::as_bytes(std::span("other", 5)));
    one.Commit();
    EXPECT_EQ(ReadFile(path_ / "out.png", 100), "one");
    RemovePartialOutput();
    EXPECT_EQ(CountFiles(), before + 1);
  }
  EXPECT_EQ(ReadFile(path_ / "out.png.part", 100), "mine");
  EXPECT_EQ(ReadFile(path_ / "victim", 100), "mine too");
  // The mode is that of any new file.
  const mode_t mask = umask(027);
  WriteFile(path_ / "shared.png", "x", false);
  umask(mask);
  EXPECT_EQ(fs::status(path_ / "shared.png").permissions(), static_cast<fs::perms>(0640));
  // The longest of names leaves no room for an ending.
  WriteFile(path_ / std::string(255, 'n'), "x", false);
  EXPECT_EQ(CountFiles(), before + 3);
}

TEST_F(Folder, OutputReplacesOnlyWhenAllowed) {
  const fs::path file = path_ / "out.png";
  WriteFile(file, "first", false);
  EXPECT_THROW(WriteFile(file, "second", false), Error);
  EXPECT_EQ(ReadFile(file, 100), "first");
  WriteFile(file, "third", true);
  EXPECT_EQ(ReadFile(file, 100), "third");
  // A file that comes into being while ours is written is not replaced either.
  OutputFile late(path_ / "late.png", false);
  std::ofstream(path_ / "late.png") << "theirs";
  ExpectError(ErrorKind::kOutput, {"late.png", "--overwrite"}, [&] { late.Commit(); });
  EXPECT_EQ(ReadFile(path_ / "late.png", 100), "theirs");
  // Nor is a link, even to nothing.
  fs::create_symlink("nothing", path_ / "link.png");
  ExpectError(ErrorKind::kOutput, {"link.png", "--overwrite"},
              [&] { WriteFile(path_ / "link.png", "ours", false); });
  WriteFile(path_ / "link.png", "ours", true);
  EXPECT_TRUE(fs::is_regular_file(path_ / "link.png"));
  EXPECT_FALSE(fs::exists(path_ / "nothing"));
}

TEST_F(Folder, OutputErrorsAreOutputErrors) {
  std::ofstream(path_ / "file") << "x";
  for (const fs::path& target :
       {path_ / "missing" / "out.png", path_ / "file" / "out.png", path_, fs::path("/dev/full")}) {
    try {
      WriteFile(target, "bytes", true);
      FAIL() << target;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kOutput);
      EXPECT_THAT(error.what(), HasSubstr(target.string()));
    }
  }
  EXPECT_EQ(CountFiles(), 1u);
}

}  // namespace
}  // namespace gesso
