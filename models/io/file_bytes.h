// The bytes of a checkpoint file, memory-mapped: tensors point into them and keep them alive.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

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

// Little-endian unsigned integer at `offset`; the caller has checked that it lies inside.
template <class T>
T ReadLittleEndian(std::span<const std::byte> bytes, size_t offset) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(bytes[offset + i]) << (8 * i));
  }
  return value;
}

// The elements at `bytes`, whose size fits shape and dtype: a view into the file, or a copy where
// the file does not align them.
Tensor TensorInFile(const FileBytes& file, std::span<const std::byte> bytes, const Shape& shape,
                    DType dtype);

// Bytes of a tensor with these extents; false if an extent is negative, or if the size or a
// stride does not fit into int64.
bool CheckedTensorBytes(std::span<const int64_t> extents, DType dtype, int64_t* bytes);

}  // namespace gesso
