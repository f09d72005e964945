#include "pipelines/media/picture_format.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>

#include "pipelines/media/exif.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "pipelines/media/suffix.h"
#ifdef GESSO_HAS_WEBP
#include "pipelines/media/webp/webp.h"
#endif

namespace gesso {

namespace {

// The settings as an Exif block; empty where there are none.
std::string ExifOf(const std::vector<PngText>& texts) {
  ExifTexts exif;
  for (const PngText& text : texts) {
    if (text.keyword == kParametersKeyword) exif.comment = text.text;
    if (text.keyword == kSettingsKeyword) exif.note = text.text;
  }
  return texts.empty() ? "" : EncodeExif(exif);
}

std::string EncodeJpegWith(const Image& image, const std::vector<PngText>& texts) {
  const std::string exif = ExifOf(texts);
  if (exif.size() > kMaxJpegExif) {
    spdlog::warn(
        "a JPEG picture is written without its settings: they take {} bytes, and it has room for "
        "{}; PNG and WebP have more",
        exif.size(), kMaxJpegExif);
  }
  const bool has_room = !exif.empty() && exif.size() <= kMaxJpegExif;
  return has_room ? AddExifToJpeg(EncodeJpeg(image), exif) : EncodeJpeg(image);
}

#ifdef GESSO_HAS_WEBP
std::string EncodeWebpWith(const Image& image, const std::vector<PngText>& texts) {
  const std::string exif = ExifOf(texts);
  return exif.empty() ? EncodeWebp(image) : AddExifToWebp(EncodeWebp(image), exif);
}
#endif

}  // namespace

const std::vector<PictureFormat>& PictureFormats() {
  static const std::vector<PictureFormat> kFormats = {
      {".png", std::numeric_limits<int>::max(), EncodePng},
      {".jpg", kMaxJpegSide, EncodeJpegWith},
      {".jpeg", kMaxJpegSide, EncodeJpegWith},
#ifdef GESSO_HAS_WEBP
      {".webp", kMaxWebpSide, EncodeWebpWith},
#endif
  };
  return kFormats;
}

std::string PictureSuffixes() {
  std::string suffixes;
  for (const PictureFormat& format : PictureFormats()) {
    suffixes += (suffixes.empty() ? "" : ", ") + std::string(format.suffix);
  }
  return suffixes;
}

const PictureFormat* FindPictureFormat(const std::filesystem::path& path) {
  const auto found = std::ranges::find(PictureFormats(), SuffixOf(path), &PictureFormat::suffix);
  return found == PictureFormats().end() ? nullptr : &*found;
}

}  // namespace gesso
