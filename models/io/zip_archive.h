// The directory of a zip archive whose entries are stored, not compressed, as PyTorch writes them.
// Format: PKWARE APPNOTE 6.3 (end record, zip64 end record, central directory, local headers).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

namespace gesso {

// True if the bytes begin as a zip archive does, even if the rest of it is missing or wrong.
bool IsZip(std::span<const std::byte> bytes);

struct ZipEntry {
  std::span<const std::byte> bytes;  // as they lie in the archive
  uint16_t method;                   // 0: stored as they are
  bool encrypted;
};
using ZipDirectory = std::map<std::string, ZipEntry>;  // by name

// Throws kFormat where the directory is absent (a file cut short) or inconsistent, kUnsupported for
// split archives.
ZipDirectory ReadZipDirectory(std::span<const std::byte> archive);

// The bytes of entry `name`, or nothing if it is absent. Throws kUnsupported if it is compressed
// or encrypted.
std::optional<std::span<const std::byte>> StoredEntry(const ZipDirectory& directory,
                                                      const std::string& name);

}  // namespace gesso
