// The kinds of picture files that are written, told by the ends of their names.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/image.h"
#include "pipelines/media/png.h"

namespace gesso {

constexpr int kMaxJpegSide = 65535;  // pixels
constexpr int kMaxWebpSide = 16383;

struct PictureFormat {
  std::string_view suffix;  // ".png"
  int max_side;             // pixels
  // A whole file of a grey, RGB or RGBA picture with `texts`, which are MetadataOf's or none: PNG's
  // chunks, else Exif. Those that do not fit into a JPEG file are left out with a warning.
  std::string (*encode)(const Image& image, const std::vector<PngText>& texts);
};

// Those that this build can write; the first is PNG.
const std::vector<PictureFormat>& PictureFormats();
// Their suffixes for messages: ".png, .jpg".
std::string PictureSuffixes();
// The one that `path` is named for, or nullptr.
const PictureFormat* FindPictureFormat(const std::filesystem::path& path);

}  // namespace gesso
