#include <string>

#include "pipelines/media/metadata.h"
#include "tests/fuzz/fuzz.h"

namespace gesso {
namespace {

uint32_t Crc(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xedb88320 ^ (crc >> 1) : crc >> 1;
  }
  return ~crc;
}

uint32_t ReadBigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

// Changed bytes hardly ever keep their checksums; this puts those of all whole chunks right, as
// someone who means harm would.
std::string WithChecksums(std::string_view bytes) {
  constexpr size_t kSignature = 8;
  constexpr size_t kFrame = 12;  // length, type, checksum
  std::string png(bytes);
  for (size_t at = kSignature; at <= png.size() && png.size() - at >= kFrame;) {
    const size_t length = ReadBigEndian(std::string_view(png).substr(at));
    if (length > png.size() - at - kFrame) break;
    const uint32_t crc = Crc(std::string_view(png).substr(at + 4, 4 + length));
    at += kFrame + length;
    for (size_t i = 0; i < 4; ++i) png[at - 4 + i] = static_cast<char>(crc >> (24 - 8 * i));
  }
  return png;
}

}  // namespace
}  // namespace gesso

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gesso;
  const std::string_view picture = AsText(AsFile(data, size).bytes);
  ReadOrRefuse([&] { ParseMetadata(picture, "input"); });
  return ReadOrRefuse([&] { ParseMetadata(WithChecksums(picture), "input"); });
}
