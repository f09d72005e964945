#include "pipelines/media/png_encoder.h"

#include <png.h>
#include <zlib.h>

#include <csetjmp>
#include <cstdint>
#include <new>

#include "kernels/core/error.h"

namespace gesso {

namespace {

// libpng reports errors by a jump, over frames that must have nothing to destroy.
[[noreturn]] void JumpBack(png_structp writer, png_const_charp /*message*/) {
  png_longjmp(writer, 1);
}

void Ignore(png_structp /*writer*/, png_const_charp /*warning*/) {}

// libpng's objects.
struct Encoding {
  Encoding() = default;
  ~Encoding() { png_destroy_write_struct(&writer, &info); }
  Encoding(const Encoding&) = delete;
  Encoding& operator=(const Encoding&) = delete;

  png_structp writer = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, JumpBack, Ignore);
  png_infop info = writer == nullptr ? nullptr : png_create_info_struct(writer);
};

bool TryAppend(std::string& to, const uint8_t* data, size_t size) {
  try {
    to.append(reinterpret_cast<const char*>(data), size);
    return true;
  } catch (const std::bad_alloc&) {  // no exception may pass through C
    return false;
  }
}

void Append(png_structp writer, png_bytep data, size_t size) {
  auto& file = *static_cast<std::string*>(png_get_io_ptr(writer));
  if (!TryAppend(file, data, size)) png_error(writer, "out of memory");
}

void Flush(png_structp /*writer*/) {}

int ColourType(int channels) {
  if (channels == 1) return PNG_COLOR_TYPE_GRAY;
  return channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGB_ALPHA;
}

// Models' pictures and photos become smallest by what a pixel's neighbours predict (Paeth) with
// short codes for what is left. Repetitions, which zlib's other strategies look for, are few in it
// and cost several times the time; only graphics of few colours would be smaller with them.
void ChooseCompression(png_structp writer) {
  png_set_filter(writer, PNG_FILTER_TYPE_BASE, PNG_FILTER_PAETH);
  png_set_compression_strategy(writer, Z_RLE);
}

void WriteAll(const Encoding& encoding, const Image& image, std::string& file) {
  png_structp writer = encoding.writer;
  png_set_write_fn(writer, &file, Append, Flush);
  // Its own limit is a million pixels a side.
  png_set_user_limits(writer, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_IHDR(writer, encoding.info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), 8, ColourType(image.channels),
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  ChooseCompression(writer);
  png_write_info(writer, encoding.info);
  const size_t stride = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    png_write_row(writer, image.pixels.data() + y * stride);
  }
  png_write_end(writer, encoding.info);
}

// False where memory is short.
bool TryWriteAll(const Encoding& encoding, const Image& image, std::string& file) {
  if (setjmp(png_jmpbuf(encoding.writer)) != 0) return false;
  WriteAll(encoding, image, file);
  return true;
}

}  // namespace

std::string EncodePngPixels(const Image& image) {
  CHECK(image.channels == 1 || image.channels == 3 || image.channels == 4);
  CHECK(image.width > 0 && image.height > 0);
  const Encoding encoding;
  std::string file;
  Require(encoding.info != nullptr && TryWriteAll(encoding, image, file), ErrorKind::kMemory,
          "not enough memory to encode a picture of {} x {}", image.width, image.height);
  return file;
}

}  // namespace gesso
