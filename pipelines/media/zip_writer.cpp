#include "pipelines/media/zip_writer.h"

#include "kernels/core/error.h"
#include "pipelines/media/png.h"

namespace gesso {

namespace {

constexpr uint64_t kMaxBytes = 0xFFFFFFFEu;
constexpr uint16_t kMaxEntries = 0xFFFE;

template <class T>
std::string Le(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFFu);
  return bytes;
}
std::string U16(uint16_t value) { return Le<uint32_t>(value).substr(0, 2); }
std::string U32(uint64_t value) { return Le(static_cast<uint32_t>(value)); }

}  // namespace

void ZipWriter::Write(std::string_view bytes) {
  file_.Write(std::as_bytes(std::span(bytes)));
  size_ += bytes.size();
}

void ZipWriter::Add(const std::string& name, std::string_view bytes) {
  Require(
      bytes.size() + name.size() + size_ + directory_.size() < kMaxBytes && count_ < kMaxEntries,
      ErrorKind::kUnsupported, "the file would be larger than 4 GiB");
  // Version 2.0, no flags, stored, 1980-01-01: the same contents make the same file.
  constexpr uint16_t kVersion = 20;
  constexpr uint16_t kDate = 0x21;
  const std::string common = U16(kVersion) + U16(0) + U16(0) + U16(0) + U16(kDate) +
                             U32(Crc32(bytes)) + U32(bytes.size()) + U32(bytes.size()) +
                             U16(static_cast<uint16_t>(name.size()));
  directory_ += U32(0x02014b50) + U16(kVersion) + common + U16(0) + U16(0) + U16(0) + U16(0) +
                U32(0) + U32(size_) + name;
  Write(U32(0x04034b50) + common + U16(0) + name);
  Write(bytes);
  ++count_;
}

void ZipWriter::Finish() {
  const uint64_t offset = size_;
  Write(directory_);
  Write(U32(0x06054b50) + U16(0) + U16(0) + U16(count_) + U16(count_) + U32(directory_.size()) +
        U32(offset) + U16(0));
}

}  // namespace gesso
