#include "pipelines/media/webp/webp.h"

#include <webp/decode.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include <memory>

#include "kernels/core/error.h"
#include "pipelines/media/picture_format.h"

namespace gesso {

namespace {

const uint8_t* BytesOf(std::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

// `image` with three or four channels.
Image Coloured(const Image& image) {
  if (image.channels != 1) return image;
  Image coloured{image.width, image.height, 3, {}};
  coloured.pixels.reserve(image.pixels.size() * 3);
  for (const uint8_t value : image.pixels) coloured.pixels.insert(coloured.pixels.end(), 3, value);
  return coloured;
}

// libwebp's memory for the life of the object.
struct Encoding {
  Encoding() {
    WebPPictureInit(&picture);
    WebPMemoryWriterInit(&writer);
  }
  ~Encoding() {
    WebPPictureFree(&picture);
    WebPMemoryWriterClear(&writer);
  }
  Encoding(const Encoding&) = delete;
  Encoding& operator=(const Encoding&) = delete;

  WebPPicture picture{};
  WebPMemoryWriter writer{};
};

}  // namespace

WebpHeader ReadWebpHeader(std::string_view bytes, const std::string& name) {
  WebPBitstreamFeatures features{};
  const VP8StatusCode status = WebPGetFeatures(BytesOf(bytes), bytes.size(), &features);
  Require(status == VP8_STATUS_OK, ErrorKind::kFormat, "{}: is no whole WebP picture (code {})",
          name, static_cast<int>(status));
  Require(features.has_animation == 0, ErrorKind::kUnsupported,
          "{}: is a WebP picture that moves; save one of its frames as a picture", name);
  return {features.width, features.height, features.has_alpha != 0};
}

Image DecodeWebp(std::string_view bytes, const std::string& name) {
  const WebpHeader header = ReadWebpHeader(bytes, name);
  Image image{header.width, header.height, 4, {}};
  const size_t row = static_cast<size_t>(header.width) * 4;
  image.pixels.resize(row * static_cast<size_t>(header.height));
  const uint8_t* decoded = WebPDecodeRGBAInto(BytesOf(bytes), bytes.size(), image.pixels.data(),
                                              image.pixels.size(), static_cast<int>(row));
  Require(decoded != nullptr, ErrorKind::kFormat,
          "{}: cannot be decoded (a WebP picture that is damaged or cut short)", name);
  return image;
}

std::string EncodeWebp(const Image& image) {
  CHECK(image.channels == 1 || image.channels == 3 || image.channels == 4);
  static_assert(kMaxWebpSide == WEBP_MAX_DIMENSION);
  Require(image.width <= kMaxWebpSide && image.height <= kMaxWebpSide, ErrorKind::kUnsupported,
          "{} x {} pixels do not fit into a WebP picture, whose sides have at most {}; save it as "
          ".png",
          image.width, image.height, kMaxWebpSide);
  constexpr int kEffort = 4;  // of 9: the rest takes long for little
  const Image coloured = Coloured(image);
  WebPConfig config;
  CHECK(WebPConfigInit(&config) != 0 && WebPConfigLosslessPreset(&config, kEffort) != 0);
  config.exact = 1;  // also colours that are transparent
  Encoding encoding;
  WebPPicture& picture = encoding.picture;
  picture.use_argb = 1;
  picture.width = image.width;
  picture.height = image.height;
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &encoding.writer;
  const int stride = coloured.width * coloured.channels;
  const int imported = coloured.channels == 3
                           ? WebPPictureImportRGB(&picture, coloured.pixels.data(), stride)
                           : WebPPictureImportRGBA(&picture, coloured.pixels.data(), stride);
  Require(imported != 0 && WebPEncode(&config, &picture) != 0, ErrorKind::kMemory,
          "not enough memory to encode a picture of {} x {} (WebP, code {})", image.width,
          image.height, static_cast<int>(picture.error_code));
  return {reinterpret_cast<const char*>(encoding.writer.mem), encoding.writer.size};
}

std::string AddExifToWebp(std::string_view webp, std::string_view exif) {
  const auto data = [](std::string_view bytes) { return WebPData{BytesOf(bytes), bytes.size()}; };
  const WebPData file = data(webp);
  const WebPData block = data(exif);
  const std::unique_ptr<WebPMux, decltype(&WebPMuxDelete)> mux(WebPMuxCreate(&file, 0),
                                                               &WebPMuxDelete);
  CHECK(mux != nullptr);
  WebPData whole{nullptr, 0};
  const WebPMuxError set = WebPMuxSetChunk(mux.get(), "EXIF", &block, 0);
  const WebPMuxError put = set == WEBP_MUX_OK ? WebPMuxAssemble(mux.get(), &whole) : set;
  const std::unique_ptr<void, decltype(&WebPFree)> owner(const_cast<uint8_t*>(whole.bytes),
                                                         &WebPFree);
  Require(put == WEBP_MUX_OK, ErrorKind::kMemory,
          "not enough memory to put settings into a WebP picture (code {})", static_cast<int>(put));
  return {reinterpret_cast<const char*>(whole.bytes), whole.size};
}

}  // namespace gesso
