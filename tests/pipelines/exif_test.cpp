// Texts in JPEG and WebP files: there and back, as other programs lay them out, and hostile ones.
#include "pipelines/media/exif.h"

#include <gtest/gtest.h>

#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "pipelines/media/picture_format.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

using std::string_literals::operator""s;

Image Grey() { return {4, 2, 3, std::vector<uint8_t>(24, 90)}; }

Request RequestFor(const std::string& prompt) {
  Request request;
  request.prompt = prompt;
  request.seed = 42;
  return request;
}

std::string Encode(const std::string& name, const std::vector<PngText>& texts) {
  return FindPictureFormat(name)->encode(Grey(), texts);
}

// Byte by byte as Exif 2.32 and TIFF 6.0 say.
TEST(Exif, HasTheseBytes) {
  const std::string expected =
      "MM\0*\0\0\0\x08"s +  // TIFF header; the first folder
      "\0\x01"
      "\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a"s +  // one entry: Exif's folder at 26
      "\0\0\0\0"s +                            // no more folders
      "\0\x02"
      "\x92\x7c\0\x07\0\0\0\x0a\0\0\0\x38"s +  // MakerNote, 10 bytes at 56
      "\x92\x86\0\x07\0\0\0\x10\0\0\0\x42"s +  // UserComment, 16 bytes at 66
      "\0\0\0\0"s +
      "gesso\0\0\0{}"s + "UNICODE\0"s +
      "\0\xe9"
      "\x73\x2b"
      "\xd8\x3d\xdc\x08"s;  // é, 猫, and a cat beyond 16 bits as a pair
  EXPECT_EQ(EncodeExif({"é猫🐈", "{}"}), expected);
  EXPECT_EQ(ReadExifNote(expected), "{}");
}

TEST(Exif, IsReadInEitherOrderOfBytes) {
  const std::string little = "II*\0\x08\0\0\0"s +
                             "\x02\0"
                             "\x12\x01\x03\0\x01\0\0\0\x01\0\0\0"s +  // Orientation first
                             "\x69\x87\x04\0\x01\0\0\0\x26\0\0\0"s +
                             "\0\0\0\0"s +
                             "\x01\0"
                             "\x7c\x92\x07\0\x0a\0\0\0\x38\0\0\0"s +
                             "\0\0\0\0"s + "gesso\0\0\0{}"s;
  EXPECT_EQ(ReadExifNote(little), "{}");
  std::string of_a_camera = little;
  of_a_camera.replace(56, 5, "Canon");
  EXPECT_EQ(ReadExifNote(of_a_camera), std::nullopt);
  EXPECT_EQ(ReadExifNote("MM\0*\0\0\0\x08\0\0"s), std::nullopt);  // an empty folder
}

TEST(Exif, RefusesOffsetsThatLieOutside) {
  const std::string whole = EncodeExif({"a", "{}"});
  for (size_t length = 0; length + 10 < whole.size(); ++length) {  // up to the comment, unread
    ExpectError(ErrorKind::kFormat, {"its Exif block is damaged"},
                [&] { ReadExifNote(whole.substr(0, length)); });
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    for (const char value : {'\0', '\x7f', '\xff'}) {
      damaged[at] = value;
      const FileBytes bytes = InMemory(damaged);
      ExpectSuccessOrError([&] { ReadExifNote(AsText(bytes.bytes)); });
    }
  }
}

TEST(Exif, PicturesOfEveryKindCarryTheirSettings) {
  const std::vector<Request> settings = {RequestFor("ein Äpfel 猫 🐈"), RequestFor("b")};
  for (const PictureFormat& format : PictureFormats()) {
    const std::string name = "a" + std::string(format.suffix);
    const std::string bare = Encode(name, {});
    const std::string file = Encode(name, MetadataOf(settings));
    EXPECT_EQ(ParseMetadata(file, name), settings);
    EXPECT_EQ(DecodeImage(file, 3, name).pixels, DecodeImage(bare, 3, name).pixels) << name;
    ExpectError(ErrorKind::kFormat, {name + ": holds no settings"},
                [&] { ParseMetadata(bare, name); });
  }
  ExpectError(ErrorKind::kFormat, {"a.txt: is not a PNG, JPEG or WebP"},
              [] { ParseMetadata("text", "a.txt"); });
}

// Some writers put JPEG's head of the segment into WebP's as well.
TEST(Exif, IsFoundInWebpBehindTheNameOfItsSegment) {
  const std::string exif = EncodeExif({"", "{}"});
  const std::string named = "Exif\0\0"s + exif;
  const std::string size = {static_cast<char>(named.size()), 0, 0, 0};
  EXPECT_EQ(FindExif("RIFF\0\0\0\0WEBPEXIF"s + size + named), exif);
}

TEST(Exif, RefusesFilesThatAreCutShort) {
  for (const PictureFormat& format : PictureFormats()) {
    const std::string name = "a" + std::string(format.suffix);
    const std::string file = Encode(name, MetadataOf({RequestFor("a")}));
    const std::string bare = Encode(name, {});
    for (size_t length = 0; length < file.size(); ++length) {
      const FileBytes bytes = InMemory(file.substr(0, length));
      // Pixels behind the settings are not looked at.
      ExpectSuccessOrError(
          [&] { EXPECT_EQ(ParseMetadata(AsText(bytes.bytes), name).front().prompt, "a"); });
    }
    ExpectError(ErrorKind::kFormat, {name}, [&] { ParseMetadata(file.substr(0, 30), name); });
  }
}

// 64 KiB a segment; the picture is worth more than what was said of it.
TEST(Exif, JpegHasRoomForSoMuch) {
  const auto encode = [](size_t bytes) {
    return Encode("a.jpg", {{"parameters", "ab"}, {"gesso", std::string(bytes, ' ') + "{}"}});
  };
  const size_t fits = kMaxJpegExif - EncodeExif({"ab", "{}"}).size();
  EXPECT_EQ(ParseMetadata(encode(fits), "a.jpg"), std::vector<Request>{Request()});
  const std::string without = encode(fits + 1);
  EXPECT_EQ(without, Encode("a.jpg", {}));
  if (FindPictureFormat("a.webp") == nullptr) return;
  const Request longer = RequestFor(std::string(100000, 'x'));
  EXPECT_EQ(ParseMetadata(Encode("a.webp", MetadataOf({longer})), "a.webp"),
            std::vector<Request>{longer});
}

TEST(Exif, JpegHasSidesThatItCanName) {
  ExpectError(ErrorKind::kUnsupported, {"65536 x 1", "save it as .png"}, [] {
    EncodeJpeg({65536, 1, 1, std::vector<uint8_t>(65536)});
  });
}

}  // namespace
}  // namespace gesso
