#include "pipelines/media/picture_format.h"

#include <algorithm>

#include "pipelines/media/image_file.h"
#include "pipelines/media/suffix.h"
#ifdef GESSO_HAS_WEBP
#include "pipelines/media/webp/webp.h"
#endif

namespace gesso {

const std::vector<PictureFormat>& PictureFormats() {
  using Texts = std::vector<PngText>;
  static const std::vector<PictureFormat> kFormats = {
      {".png", EncodePng},
      {".jpg", [](const Image& image, const Texts&) { return EncodeJpeg(image); }},
      {".jpeg", [](const Image& image, const Texts&) { return EncodeJpeg(image); }},
#ifdef GESSO_HAS_WEBP
      {".webp", [](const Image& image, const Texts&) { return EncodeWebp(image); }},
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
