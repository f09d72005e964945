// WebP pictures (Google, "WebP Container Specification"), through libwebp; left out of builds that
// do not find it. Read: with and without loss, still pictures only. Written: without loss.
#pragma once

#include <string>
#include <string_view>

#include "pipelines/image.h"

namespace gesso {

struct WebpHeader {
  int width;
  int height;
  bool has_alpha;
};

// What the header says; the pixels are not looked at. Throws kFormat naming `name`, and
// kUnsupported for a picture that moves.
WebpHeader ReadWebpHeader(std::string_view bytes, const std::string& name);

// The picture as RGBA; what is opaque has alpha 255. Throws as ReadWebpHeader, and kFormat for what
// cannot be decoded. Whether its size is fit is for the caller to ask first.
Image DecodeWebp(std::string_view bytes, const std::string& name);

// A whole file with every byte of a grey, RGB or RGBA picture. Throws kUnsupported for more than
// 16383 pixels on a side, kMemory.
std::string EncodeWebp(const Image& image);

// `webp`, a whole file, with an Exif block in a part of its own. Throws kMemory.
std::string AddExifToWebp(std::string_view webp, std::string_view exif);

}  // namespace gesso
