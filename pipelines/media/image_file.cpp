#include "pipelines/media/image_file.h"

#include <stb_image.h>
#include <stb_image_resize.h>
#include <stb_image_write.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>

#include "models/io/file_bytes.h"
#include "models/io/json.h"
#include "pipelines/media/exif.h"
#include "pipelines/media/picture_format.h"
#include "pipelines/media/png_encoder.h"
#ifdef GESSO_HAS_WEBP
#include "pipelines/media/webp/webp.h"
#endif

namespace gesso {

namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr int kGap = 2;         // pixels between the pictures of a sheet
constexpr uint8_t kGrey = 128;  // and their colour
constexpr uint8_t kOpaque = 255;

// stb also knows older formats, whose decoders are no place for files from the internet.
bool IsPngOrJpeg(std::string_view bytes) {
  return bytes.starts_with(kPngSignature) || IsJpeg(bytes);
}

// A part of a picture, whose rows are `stride` bytes apart.
struct Part {
  const uint8_t* pixels;
  int width;
  int height;
  int stride;
};

Image ScalePart(const Part& part, int channels, PixelKind kind, int width, int height) {
  Image result{width, height, channels,
               std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height) *
                                    static_cast<size_t>(channels))};
  const int row_bytes = width * channels;
  uint8_t* out = result.pixels.data();
  if (part.width == width && part.height == height) {  // the filter would soften it
    for (int y = 0; y < height; ++y) {
      std::memcpy(out + int64_t{y} * row_bytes, part.pixels + int64_t{y} * part.stride,
                  static_cast<size_t>(row_bytes));
    }
    return result;
  }
  const int resized =
      kind == PixelKind::kColour
          ? stbir_resize_uint8_srgb(part.pixels, part.width, part.height, part.stride, out, width,
                                    height, row_bytes, channels, STBIR_ALPHA_CHANNEL_NONE, 0)
          : stbir_resize_uint8(part.pixels, part.width, part.height, part.stride, out, width,
                               height, row_bytes, channels);
  Require(resized != 0, ErrorKind::kMemory, "not enough memory to resize a picture to {} x {}",
          width, height);
  return result;
}

void Append(void* target, void* data, int size) {
  static_cast<std::string*>(target)->append(static_cast<const char*>(data),
                                            static_cast<size_t>(size));
}

void RequireFewPixels(int64_t width, int64_t height, const std::string& name) {
  Require(width > 0 && height > 0, ErrorKind::kFormat, "{}: is {} x {} pixels, without a picture",
          name, width, height);
  Require(width <= kMaxPixels && height <= kMaxPixels && width * height <= kMaxPixels,
          ErrorKind::kFormat, "{}: {} x {} pixels are more than {}", name, width, height,
          kMaxPixels);
}

// Of the header's chunk, which is the first: stb calls pictures that it finds too large unknown.
void RequireFewPixelsOfPng(std::string_view png, const std::string& name) {
  constexpr size_t kWidthAt = 16;
  if (!png.starts_with(kPngSignature) || png.size() < kWidthAt + 8) return;
  const auto number = [&](size_t at) {
    int64_t value = 0;
    for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(png[i]);
    return value;
  };
  RequireFewPixels(number(kWidthAt), number(kWidthAt + 4), name);
}

#ifdef GESSO_HAS_WEBP
WebpHeader ReadSmallWebpHeader(std::string_view bytes, const std::string& name) {
  const WebpHeader header = ReadWebpHeader(bytes, name);
  RequireFewPixels(header.width, header.height, name);
  return header;
}

ImageSize ReadWebpSize(std::string_view bytes, const std::string& name) {
  const WebpHeader header = ReadSmallWebpHeader(bytes, name);
  return {header.width, header.height};
}

// With `channels`, made of the others as stb makes them.
Image DecodeWebpAs(std::string_view bytes, int channels, const std::string& name, int& stored) {
  stored = ReadSmallWebpHeader(bytes, name).has_alpha ? 4 : 3;
  Image rgba = DecodeWebp(bytes, name);
  if (channels == 4) return rgba;
  Image image{rgba.width, rgba.height, channels, {}};
  image.pixels.reserve(rgba.pixels.size() / 4 * static_cast<size_t>(channels));
  for (auto pixel = rgba.pixels.begin(); pixel != rgba.pixels.end(); pixel += 4) {
    if (channels == 3) {
      image.pixels.insert(image.pixels.end(), pixel, pixel + 3);
    } else {
      image.pixels.push_back(LumaOf({pixel[0], pixel[1], pixel[2]}));
    }
  }
  return image;
}
#else
ImageSize ReadWebpSize(std::string_view /*bytes*/, const std::string& name) {
  Fail(ErrorKind::kUnsupported,
       "{}: is a WebP picture, which this build cannot read; install libwebp-dev and build again, "
       "or save it as PNG",
       name);
}

Image DecodeWebpAs(std::string_view bytes, int /*channels*/, const std::string& name,
                   int& /*stored*/) {
  ReadWebpSize(bytes, name);
  return {};
}
#endif

// stb's, which does not always have one.
std::string_view FailureReason() {
  const char* reason = stbi_failure_reason();
  return reason == nullptr || *reason == '\0' ? "damaged or cut short" : reason;
}

// What the header says; throws for what is not to be decoded.
ImageSize ReadHeader(std::string_view bytes, const std::string& name) {
  if (IsWebp(bytes)) return ReadWebpSize(bytes, name);
  Require(IsPngOrJpeg(bytes), ErrorKind::kFormat, "{}: is not a PNG, JPEG or WebP picture", name);
  RequireFewPixelsOfPng(bytes, name);
  ImageSize size;
  const int is_picture =
      stbi_info_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()),
                            static_cast<int>(bytes.size()), &size.width, &size.height, nullptr);
  Require(is_picture == 1, ErrorKind::kFormat, "{}: is not a PNG or JPEG picture ({})", name,
          FailureReason());
  RequireFewPixels(size.width, size.height, name);
  return size;
}

// 16 bits as 8, rounded to nearest; stb itself leaves the lower ones out.
uint8_t To8Bits(uint16_t value) {
  return static_cast<uint8_t>((uint32_t{value} * 255 + 32767) / 65535);
}

// What stb has decoded, each of its values converted to 8 bits; frees it.
template <class T, class Convert>
Image Take(T* decoded, ImageSize size, int channels, const std::string& name,
           const Convert& convert) {
  const std::unique_ptr<T, decltype(&stbi_image_free)> pixels(decoded, &stbi_image_free);
  Require(pixels != nullptr, ErrorKind::kFormat, "{}: cannot be decoded ({})", name,
          FailureReason());
  Image image{size.width, size.height, channels, {}};
  image.pixels.resize(static_cast<size_t>(size.width) * static_cast<size_t>(size.height) *
                      static_cast<size_t>(channels));
  std::transform(decoded, decoded + image.pixels.size(), image.pixels.begin(), convert);
  return image;
}

// With `channels`; `stored` becomes the number that the file has, transparent colours counted.
Image Decode(std::string_view bytes, int channels, const std::string& name, int& stored) {
  bytes = bytes.substr(0, kMaxFileBytes);
  if (IsWebp(bytes)) return DecodeWebpAs(bytes, channels, name, stored);
  ImageSize size = ReadHeader(bytes, name);
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const auto length = static_cast<int>(bytes.size());
  if (stbi_is_16_bit_from_memory(data, length) != 0) {
    uint16_t* decoded =
        stbi_load_16_from_memory(data, length, &size.width, &size.height, &stored, channels);
    return Take(decoded, size, channels, name, To8Bits);
  }
  uint8_t* decoded =
      stbi_load_from_memory(data, length, &size.width, &size.height, &stored, channels);
  return Take(decoded, size, channels, name, std::identity());
}

// Row y of `image` with as many channels or more: grey as a colour, colours opaque.
void PutRow(const Image& image, size_t y, size_t channels, uint8_t* to) {
  const auto stored = static_cast<size_t>(image.channels);
  const auto width = static_cast<size_t>(image.width);
  const uint8_t* from = image.pixels.data() + y * width * stored;
  for (size_t x = 0; x < width; ++x, from += stored) {
    for (size_t c = 0; c < channels; ++c) {
      const bool lacks_alpha = c == 3 && stored < 4;
      *to++ = lacks_alpha ? kOpaque : from[stored == 1 ? 0 : c];
    }
  }
}

}  // namespace

Image DecodeImage(std::string_view bytes, int channels, const std::string& name) {
  int stored = 0;
  return Decode(bytes, channels, name, stored);
}

Image ReadImage(const std::filesystem::path& path, int channels) {
  return DecodeImage(ReadFile(path, kMaxFileBytes), channels, path.string());
}

RgbaImage ReadRgba(const std::filesystem::path& path) {
  int stored = 0;
  Image image = Decode(ReadFile(path, kMaxFileBytes), 4, path.string(), stored);
  return {std::move(image), stored % 2 == 0};
}

ImageSize ReadImageSize(const std::filesystem::path& path) {
  const FileBytes file = MapFile(path);
  const std::string_view bytes = AsText(file.bytes);
  Require(bytes.size() <= kMaxFileBytes, ErrorKind::kFormat, "{}: is larger than {} bytes",
          path.string(), kMaxFileBytes);
  return ReadHeader(bytes, path.string());
}

Image Opaque(const Image& rgba, int channels) {
  CHECK(rgba.channels == 4 && (channels == 1 || channels == 3));
  Image opaque{rgba.width, rgba.height, channels, {}};
  opaque.pixels.reserve(rgba.pixels.size() / 4 * static_cast<size_t>(channels));
  for (size_t i = 0; i < rgba.pixels.size(); i += 4) {
    const int alpha = rgba.pixels[i + 3];
    std::array<uint8_t, 3> colour{};
    for (size_t c = 0; c < 3; ++c) {
      const int value = rgba.pixels[i + c] * alpha + 255 * (255 - alpha);
      colour[c] = static_cast<uint8_t>((value + 127) / 255);
    }
    if (channels == 1) colour[0] = LumaOf(colour);
    opaque.pixels.insert(opaque.pixels.end(), colour.begin(), colour.begin() + channels);
  }
  return opaque;
}

std::string EncodePng(const Image& image, const std::vector<PngText>& texts) {
  return AddPngText(EncodePngPixels(image), texts);
}

Image Resized(const Image& image, int width, int height, PixelKind kind) {
  return ScalePart({image.pixels.data(), image.width, image.height, image.width * image.channels},
                   image.channels, kind, width, height);
}

std::string EncodeJpeg(const Image& image) {
  constexpr int kQuality = 95;
  Require(image.width <= kMaxJpegSide && image.height <= kMaxJpegSide, ErrorKind::kUnsupported,
          "{} x {} pixels do not fit into a JPEG picture, whose sides have at most {}; save it as "
          ".png",
          image.width, image.height, kMaxJpegSide);
  const Image opaque = image.channels == 4 ? Opaque(image, 3) : image;
  std::string jpeg;
  const int written = stbi_write_jpg_to_func(Append, &jpeg, image.width, image.height,
                                             opaque.channels, opaque.pixels.data(), kQuality);
  Require(written != 0, ErrorKind::kMemory, "not enough memory to encode a picture of {} x {}",
          image.width, image.height);
  return jpeg;
}

Image ResizeAndCrop(const Image& image, int width, int height) {
  // The middle part of the picture that has the aspect of the result.
  const double scale = std::min(static_cast<double>(image.width) / width,
                                static_cast<double>(image.height) / height);
  const int part_width = std::max(1, static_cast<int>(std::lround(scale * width)));
  const int part_height = std::max(1, static_cast<int>(std::lround(scale * height)));
  const int left = (image.width - part_width) / 2;
  const int top = (image.height - part_height) / 2;
  const int stride = image.width * image.channels;
  const uint8_t* first =
      image.pixels.data() + int64_t{top} * stride + int64_t{left} * image.channels;
  return ScalePart({first, part_width, part_height, stride}, image.channels, PixelKind::kColour,
                   width, height);
}

Image MakeSheet(const std::vector<Image>& images) {
  CHECK(!images.empty());
  const Image& first = images.front();
  const int count = static_cast<int>(images.size());
  const int columns = static_cast<int>(std::ceil(std::sqrt(count)));
  const int rows = (count + columns - 1) / columns;
  Image sheet{columns * (first.width + kGap) + kGap,
              rows * (first.height + kGap) + kGap,
              std::ranges::max(images, {}, &Image::channels).channels,
              {}};
  const auto channels = static_cast<size_t>(sheet.channels);
  const size_t stride = static_cast<size_t>(sheet.width) * channels;
  sheet.pixels.assign(stride * static_cast<size_t>(sheet.height), kGrey);
  for (size_t i = 3; channels == 4 && i < sheet.pixels.size(); i += 4) sheet.pixels[i] = kOpaque;
  for (int i = 0; i < count; ++i) {
    const Image& image = images[static_cast<size_t>(i)];
    Require(image.width == first.width && image.height == first.height, ErrorKind::kUsage,
            "a sheet needs pictures of one size, got {} x {} and {} x {}", first.width,
            first.height, image.width, image.height);
    const auto top = static_cast<size_t>(kGap + i / columns * (first.height + kGap));
    const auto left = static_cast<size_t>(kGap + i % columns * (first.width + kGap));
    for (size_t y = 0; y < static_cast<size_t>(first.height); ++y) {
      PutRow(image, y, channels, &sheet.pixels[(top + y) * stride + left * channels]);
    }
  }
  return sheet;
}

}  // namespace gesso
