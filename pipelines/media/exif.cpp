#include "pipelines/media/exif.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/core/error.h"
#include "models/io/file_bytes.h"
#include "pipelines/media/png.h"

namespace gesso {

namespace {

// Tags and types of values (Exif 2.32, tables 3, 7 and section 4.6.2).
constexpr uint16_t kExifFolder = 0x8769;  // where the other two lie
constexpr uint16_t kMakerNote = 0x927C;
constexpr uint16_t kUserComment = 0x9286;
constexpr uint16_t kLong = 4;
constexpr uint16_t kUndefined = 7;
constexpr size_t kHeaderBytes = 8;
constexpr size_t kEntryBytes = 12;

constexpr std::string_view kNoteOfGesso("gesso\0\0\0", 8);
constexpr std::string_view kUnicode("UNICODE\0", 8);
constexpr size_t kJpegMarker = 2;  // bytes
constexpr std::string_view kExifSegment("Exif\0\0", 6);

// The highest byte first.
std::string Four(size_t value) { return PngInteger(static_cast<uint32_t>(value)); }
std::string Two(size_t value) { return Four(value).substr(2); }

// UTF-16, the higher byte first, of valid UTF-8.
std::string ToUtf16(std::string_view utf8) {
  std::string utf16;
  for (size_t at = 0; at < utf8.size();) {
    const auto first = static_cast<unsigned char>(utf8[at++]);
    const int more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    uint32_t code = more == 0 ? first : first & (0x3Fu >> more);
    for (int i = 0; i < more; ++i) code = code << 6 | (static_cast<uint8_t>(utf8[at++]) & 0x3Fu);
    if (code < 0x10000) {
      utf16 += Two(code);
    } else {
      utf16 += Two(0xD800 + ((code - 0x10000) >> 10));
      utf16 += Two(0xDC00 + ((code - 0x10000) & 0x3FF));
    }
  }
  return utf16;
}

std::string Entry(uint16_t tag, uint16_t type, size_t count, size_t value) {
  return Two(tag) + Two(type) + Four(count) + Four(value);
}

// Numbers of a TIFF file in its order of bytes.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes) {
    Require(bytes.starts_with("MM") || bytes.starts_with("II"), ErrorKind::kFormat,
            "its Exif block is damaged: it has no order of bytes");
    big_ = bytes[0] == 'M';
    Require(Number(2, 2) == 42, ErrorKind::kFormat, "its Exif block is damaged: it is no TIFF");
  }

  std::string_view Bytes(size_t at, size_t count) const {
    Require(at <= bytes_.size() && count <= bytes_.size() - at, ErrorKind::kFormat,
            "its Exif block is damaged: {} bytes at {} lie outside its {}", count, at,
            bytes_.size());
    return bytes_.substr(at, count);
  }

  size_t Number(size_t at, size_t count) const {
    size_t value = 0;
    const std::string_view bytes = Bytes(at, count);
    for (size_t i = 0; i < count; ++i) {
      value = value << 8 | static_cast<uint8_t>(bytes[big_ ? i : count - 1 - i]);
    }
    return value;
  }

  // Where the entry for `tag` lies in the folder at `folder`.
  std::optional<size_t> Find(size_t folder, uint16_t tag) const {
    const size_t count = Number(folder, 2);
    for (size_t i = 0; i < count; ++i) {
      const size_t entry = folder + 2 + i * kEntryBytes;
      if (Number(entry, 2) == tag) return entry;
    }
    return std::nullopt;
  }

 private:
  std::string_view bytes_;
  bool big_ = true;
};

// Takes a marker and its segment, if it has one, off `rest`; what comes after the last is 0.
uint8_t TakeSegment(std::string_view& rest, std::string_view& data) {
  data = {};
  Require(rest.size() >= 2 && rest[0] == '\xff', ErrorKind::kFormat,
          "is no whole JPEG file: a marker is missing (truncated?)");
  const auto marker = static_cast<uint8_t>(rest[1]);
  if (marker == 0xFF) return rest.remove_prefix(1), marker;  // it may be filled up with them
  constexpr uint8_t kEnd = 0xD9;
  constexpr uint8_t kScan = 0xDA;  // of pixels
  if (marker == kEnd || marker == kScan) return 0;
  rest.remove_prefix(2);
  Require(rest.size() >= 2, ErrorKind::kFormat, "is no whole JPEG file (truncated?)");
  const auto length =
      static_cast<size_t>(static_cast<uint8_t>(rest[0]) << 8 | static_cast<uint8_t>(rest[1]));
  Require(length >= 2 && length <= rest.size(), ErrorKind::kFormat,
          "is no whole JPEG file: a segment of {} bytes goes beyond its end (truncated?)", length);
  data = rest.substr(2, length - 2);
  rest.remove_prefix(length);
  return marker;
}

std::optional<std::string_view> FindInJpeg(std::string_view jpeg) {
  constexpr uint8_t kExif = 0xE1;
  std::string_view rest = jpeg.substr(kJpegMarker);
  std::string_view data;
  while (const uint8_t marker = TakeSegment(rest, data)) {
    if (marker == kExif && data.starts_with(kExifSegment)) return data.substr(kExifSegment.size());
  }
  return std::nullopt;
}

// By hand, so that it works in builds without libwebp as well.
std::optional<std::string_view> FindInWebp(std::string_view webp) {
  std::string_view rest = webp.substr(kPictureHead);
  constexpr size_t kFrame = 8;  // kind and size, the lowest byte first
  while (rest.size() >= kFrame) {
    const size_t size = ReadLittleEndian<uint32_t>(std::as_bytes(std::span(rest)), 4);
    Require(size <= rest.size() - kFrame, ErrorKind::kFormat,
            "is no whole WebP file: a part of {} bytes goes beyond its end (truncated?)", size);
    if (rest.starts_with("EXIF")) {
      std::string_view exif = rest.substr(kFrame, size);
      if (exif.starts_with(kExifSegment)) exif.remove_prefix(kExifSegment.size());  // some have it
      return exif;
    }
    rest.remove_prefix(std::min(kFrame + size + size % 2, rest.size()));
  }
  return std::nullopt;
}

}  // namespace

std::string EncodeExif(const ExifTexts& texts) {
  const std::string note = std::string(kNoteOfGesso) + texts.note;
  const std::string comment = std::string(kUnicode) + ToUtf16(texts.comment);
  const std::string end = Four(0);  // no folder follows
  // The header, a folder of one entry, one of two, and what they point at.
  const size_t folder = kHeaderBytes + 2 + kEntryBytes + end.size();
  const size_t note_at = folder + 2 + 2 * kEntryBytes + end.size();
  std::string exif = "MM" + Two(42) + Four(kHeaderBytes);
  exif += Two(1) + Entry(kExifFolder, kLong, 1, folder) + end;
  exif += Two(2) + Entry(kMakerNote, kUndefined, note.size(), note_at);
  exif += Entry(kUserComment, kUndefined, comment.size(), note_at + note.size()) + end;
  return exif + note + comment;
}

std::optional<std::string> ReadExifNote(std::string_view exif) {
  const Tiff tiff(exif);
  const std::optional<size_t> pointer = tiff.Find(tiff.Number(4, 4), kExifFolder);
  if (!pointer) return std::nullopt;
  const std::optional<size_t> entry = tiff.Find(tiff.Number(*pointer + 8, 4), kMakerNote);
  if (!entry) return std::nullopt;
  const size_t count = tiff.Number(*entry + 4, 4);
  if (count < kNoteOfGesso.size()) return std::nullopt;
  const std::string_view note = tiff.Bytes(tiff.Number(*entry + 8, 4), count);
  if (!note.starts_with(kNoteOfGesso)) return std::nullopt;
  return std::string(note.substr(kNoteOfGesso.size()));
}

bool IsJpeg(std::string_view head) { return head.starts_with("\xff\xd8\xff"); }

bool IsWebp(std::string_view head) {
  return head.size() >= kPictureHead && head.starts_with("RIFF") && head.substr(8, 4) == "WEBP";
}

std::optional<std::string_view> FindExif(std::string_view picture) {
  if (IsJpeg(picture)) return FindInJpeg(picture);
  CHECK(IsWebp(picture));
  return FindInWebp(picture);
}

std::string AddExifToJpeg(std::string_view jpeg, std::string_view exif) {
  CHECK(IsJpeg(jpeg) && exif.size() <= kMaxJpegExif);
  std::string_view rest = jpeg.substr(kJpegMarker);
  std::string_view data;
  constexpr uint8_t kJfif = 0xE0;
  CHECK(TakeSegment(rest, data) == kJfif);
  const size_t length = 2 + kExifSegment.size() + exif.size();
  std::string result(jpeg.substr(0, jpeg.size() - rest.size()));
  result.append("\xff\xe1").append(Two(length));
  return result.append(kExifSegment).append(exif).append(rest);
}

}  // namespace gesso
