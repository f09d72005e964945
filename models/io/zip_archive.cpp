#include "models/io/zip_archive.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "models/io/file_bytes.h"
#include "models/io/printable.h"

namespace gesso {

namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kZip64End = 0x06064b50;
constexpr uint32_t kZip64Locator = 0x07064b50;
constexpr size_t kLocalHeaderSize = 30;
constexpr size_t kCentralHeaderSize = 46;
constexpr size_t kEndSize = 22;
constexpr size_t kZip64EndSize = 56;
constexpr size_t kZip64LocatorSize = 20;
constexpr uint64_t kSeeZip64 = 0xffffffff;  // in a 32-bit field: the value is in the zip64 one

uint16_t U16(Bytes bytes, size_t at) { return ReadLittleEndian<uint16_t>(bytes, at); }
uint32_t U32(Bytes bytes, size_t at) { return ReadLittleEndian<uint32_t>(bytes, at); }
uint64_t U64(Bytes bytes, size_t at) { return ReadLittleEndian<uint64_t>(bytes, at); }

// `size` bytes from `offset` on, or kFormat.
Bytes Part(Bytes bytes, uint64_t offset, uint64_t size, std::string_view what) {
  Require(offset <= bytes.size() && size <= bytes.size() - offset, ErrorKind::kFormat,
          "zip archive: {} lies outside the file (truncated download?)", what);
  return bytes.subspan(offset, size);
}

struct Directory {
  uint64_t entries;
  uint64_t size;
  uint64_t offset;
  uint64_t end;  // where the directory has to end
};

// The end record is the last thing in the file, before a comment of at most 65535 bytes.
size_t FindEnd(Bytes archive) {
  constexpr size_t kMaxComment = 65535;
  Require(archive.size() >= kEndSize, ErrorKind::kFormat,
          "zip archive without its end (truncated download?)");
  const size_t last = archive.size() - kEndSize;
  for (size_t comment = 0; comment <= std::min(last, kMaxComment); ++comment) {
    const size_t at = last - comment;
    if (U32(archive, at) == kEnd && U16(archive, at + 20) == comment) return at;
  }
  Fail(ErrorKind::kFormat, "zip archive without its end (truncated download?)");
}

Directory FindDirectory(Bytes archive) {
  const size_t end = FindEnd(archive);
  // torch.save writes zip64 records for files of any size.
  const bool zip64 =
      end >= kZip64LocatorSize && U32(archive, end - kZip64LocatorSize) == kZip64Locator;
  if (!zip64) {
    Require(U16(archive, end + 4) == 0 && U16(archive, end + 6) == 0, ErrorKind::kUnsupported,
            "zip archive split over several files");
    return {U16(archive, end + 10), U32(archive, end + 12), U32(archive, end + 16), end};
  }
  const uint64_t at = U64(archive, end - kZip64LocatorSize + 8);
  const Bytes record = Part(archive, at, kZip64EndSize, "the zip64 end record");
  Require(U32(record, 0) == kZip64End, ErrorKind::kFormat,
          "zip archive: the zip64 end record is not where the file says");
  Require(U32(record, 16) == 0 && U32(record, 20) == 0, ErrorKind::kUnsupported,
          "zip archive split over several files");
  return {U64(record, 32), U64(record, 40), U64(record, 48), at};
}

struct CentralEntry {
  std::string name;
  uint64_t stored_size;
  uint64_t size;
  uint64_t local_offset;
  uint16_t method;
  bool encrypted;
};

// Replaces the fields that say "see zip64" by the values in the extra field, in their fixed order.
void ApplyZip64(Bytes extra, CentralEntry& entry) {
  constexpr uint16_t kZip64Extra = 1;
  while (extra.size() >= 4) {
    const uint16_t id = U16(extra, 0);
    Bytes body = Part(extra, 4, U16(extra, 2), "an extra field");
    extra = extra.subspan(4 + body.size());
    if (id != kZip64Extra) continue;
    for (uint64_t* field : {&entry.size, &entry.stored_size, &entry.local_offset}) {
      if (*field != kSeeZip64) continue;
      *field = U64(Part(body, 0, 8, "a zip64 field"), 0);
      body = body.subspan(8);
    }
    return;
  }
}

// Reads one entry of the central directory and drops it from `directory`.
CentralEntry NextEntry(Bytes& directory) {
  const Bytes header = Part(directory, 0, kCentralHeaderSize, "an entry of the directory");
  Require(U32(header, 0) == kCentralHeader, ErrorKind::kFormat,
          "zip archive: the directory is damaged");
  const size_t name_size = U16(header, 28);
  const size_t extra_size = U16(header, 30);
  const size_t comment_size = U16(header, 32);
  const Bytes tail = Part(directory, kCentralHeaderSize, name_size + extra_size + comment_size,
                          "an entry of the directory");
  CentralEntry entry{.name = std::string(AsText(tail.first(name_size))),
                     .stored_size = U32(header, 20),
                     .size = U32(header, 24),
                     .local_offset = U32(header, 42),
                     .method = U16(header, 10),
                     .encrypted = (U16(header, 8) & 1) != 0};
  ApplyZip64(tail.subspan(name_size, extra_size), entry);
  directory = directory.subspan(kCentralHeaderSize + tail.size());
  return entry;
}

// The entry's bytes. `body` is the archive up to its central directory.
Bytes EntryBytes(Bytes body, const CentralEntry& entry) {
  const std::string what = "entry '" + Printable(entry.name) + "'";
  const Bytes header = Part(body, entry.local_offset, kLocalHeaderSize, what);
  Require(U32(header, 0) == kLocalHeader, ErrorKind::kFormat,
          "zip archive: {} is not where the directory says", what);
  const size_t name_size = U16(header, 26);
  const uint64_t name_at = entry.local_offset + kLocalHeaderSize;
  const Bytes name = Part(body, name_at, name_size, what);
  Require(AsText(name) == entry.name, ErrorKind::kFormat,
          "zip archive: {} has another name in its own header", what);
  return Part(body, name_at + name_size + U16(header, 28), entry.stored_size, what);
}

}  // namespace

bool IsZip(Bytes bytes) { return bytes.size() >= 4 && U32(bytes, 0) == kLocalHeader; }

ZipDirectory ReadZipDirectory(Bytes archive) {
  const Directory found = FindDirectory(archive);
  Bytes directory = Part(archive, found.offset, found.size, "the directory");
  Require(found.offset + found.size == found.end, ErrorKind::kFormat,
          "zip archive: the directory does not end where the end record begins");
  const Bytes body = archive.first(found.offset);
  ZipDirectory entries;
  for (uint64_t i = 0; i < found.entries; ++i) {
    const CentralEntry entry = NextEntry(directory);
    const ZipEntry value{EntryBytes(body, entry), entry.method, entry.encrypted};
    Require(entries.emplace(entry.name, value).second, ErrorKind::kFormat,
            "zip archive: two entries are named '{}'", Printable(entry.name));
  }
  Require(directory.empty(), ErrorKind::kFormat,
          "zip archive: the directory is longer than its {} entries", found.entries);
  return entries;
}

std::optional<Bytes> StoredEntry(const ZipDirectory& directory, const std::string& name) {
  const auto found = directory.find(name);
  if (found == directory.end()) return std::nullopt;
  const ZipEntry& entry = found->second;
  Require(!entry.encrypted, ErrorKind::kUnsupported, "zip entry '{}' is encrypted",
          Printable(name));
  Require(entry.method == 0, ErrorKind::kUnsupported,
          "zip entry '{}' is compressed (method {}); torch.save stores entries as they are",
          Printable(name), entry.method);
  return entry.bytes;
}

}  // namespace gesso
