// The bytes of a checkpoint file, memory-mapped: tensors point into them and keep them alive.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "kernels/core/tensor.h"

namespace gesso {

struct FileBytes {
  std::filesystem::path path;         // for messages
  std::shared_ptr<const void> owner;  // keeps `bytes` alive
  std::span<const std::byte> bytes;
};

// Maps a regular file for reading. Throws kIo, also for a folder, a pipe and an empty file.
// The file must not be cut short by others while it is mapped (the system would send SIGBUS).
FileBytes MapFile(const std::filesystem::path& path);

// Gives the pages that hold `bytes` of a mapped file back to the system, neighbours on them
// included: whoever reads them again gets the same from the file.
void ReleasePages(std::span<const std::byte> bytes);

// The same bytes as text.
inline std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};  // NOLINT: char may alias
}

// Little-endian unsigned integer at `offset`; the caller has checked that it lies inside.
template <class T>
T ReadLittleEndian(std::span<const std::byte> bytes, size_t offset) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(bytes[offset + i]) << (8 * i));
  }
  return value;
}

// True if elements of `dtype` may be read at `data` as they lie.
bool IsAligned(const std::byte* data, DType dtype);

// Bytes of a tensor with these extents; false if an extent is negative, or if the size or a
// stride does not fit into int64.
bool CheckedTensorBytes(std::span<const int64_t> extents, DType dtype, int64_t* bytes);

}  // namespace gesso
