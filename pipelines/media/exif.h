// Texts inside JPEG and WebP files: an Exif block (CIPA DC-008, "Exif 2.32"), which is a TIFF file
// of tags. Two of them are all that is written; what is read may come from anywhere.
//
// By hand as PNG's chunks are: libexif would take more lines, as it takes the MakerNote for a
// camera's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gesso {

struct ExifTexts {
  std::string comment;  // UTF-8; UserComment, which people and programs read
  std::string note;     // any bytes; MakerNote, which each program has for itself
};

// The block, which begins with the TIFF header, the highest byte of each number first. The comment
// is in UTF-16 as other programs of the field write it. `comment` must be valid UTF-8.
std::string EncodeExif(const ExifTexts& texts);

// The note of a block that EncodeExif has made, also where another program has put its tags in
// another order; nothing if its MakerNote is another's or there is none. Throws kFormat for offsets
// that lie outside.
std::optional<std::string> ReadExifNote(std::string_view exif);

// What the files begin with that hold such blocks; `head` is the file or its first kPictureHead
// bytes.
constexpr size_t kPictureHead = 12;
bool IsJpeg(std::string_view head);
bool IsWebp(std::string_view head);

// The block in a JPEG or WebP file, or nothing. Throws kFormat where its parts do not hold
// together.
std::optional<std::string_view> FindExif(std::string_view picture);

// A segment of a JPEG file (ISO/IEC 10918-1, annex B.1.1) holds at most so many bytes of a block.
constexpr size_t kMaxJpegExif = 65535 - 2 - 6;
// `jpeg`, a whole file, with the block put behind its JFIF header.
std::string AddExifToJpeg(std::string_view jpeg, std::string_view exif);

}  // namespace gesso
