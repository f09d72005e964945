// Picture files: PNG and JPEG, in and out; WebP is read where the build has it. Files may come from
// anywhere; their declared size is checked before anything is decoded.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/image.h"
#include "pipelines/media/png.h"

namespace gesso {

constexpr int64_t kMaxPixels = int64_t{1} << 26;  // of a picture that is read or made

// The file's picture with 1 (grey), 3 (RGB) or 4 (RGBA) channels; fewer than 4 drop its alpha.
// Throws kIo if it cannot be read, kFormat if it is no picture or larger than kMaxPixels.
Image ReadImage(const std::filesystem::path& path, int channels);
Image DecodeImage(std::string_view bytes, int channels, const std::string& name);

// The file's picture as RGBA, and whether it says what is transparent. Throws as ReadImage.
struct RgbaImage {
  Image image;
  bool has_alpha = false;
};
RgbaImage ReadRgba(const std::filesystem::path& path);

// The file's width and height, from its header alone: nothing more of it is read. Throws as
// ReadImage for what that tells, and kIo for what is no regular file.
struct ImageSize {
  int width = 0;
  int height = 0;
};
ImageSize ReadImageSize(const std::filesystem::path& path);

// An RGBA picture before white, with 1 (grey) or 3 (RGB) channels.
Image Opaque(const Image& rgba, int channels);

// A whole PNG file with the texts in its header. Throws kMemory.
std::string EncodePng(const Image& image, const std::vector<PngText>& texts);

// What the numbers of a picture stand for: sRGB, or amounts.
enum class PixelKind { kColour, kLinear };

// `image` at another size, each axis on its own: averaged where it shrinks, cubic where it grows.
// The same size is a copy.
Image Resized(const Image& image, int width, int height, PixelKind kind);

// A whole JPEG file at quality 95 of 100; what is transparent becomes white.
std::string EncodeJpeg(const Image& image);

// `image` scaled to cover width x height and cropped to it around the centre.
Image ResizeAndCrop(const Image& image, int width, int height);

// All pictures (of one size) row by row on a nearly square sheet, with the channels of the richest.
Image MakeSheet(const std::vector<Image>& images);

}  // namespace gesso
