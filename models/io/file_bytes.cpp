#include "models/io/file_bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gesso {

namespace {

// Closes a file descriptor at the end of a scope.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

FileBytes MapFile(const std::filesystem::path& path) {
  // O_NONBLOCK: a pipe without a writer would block here; regular files ignore it.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  Require(file.fd >= 0, ErrorKind::kIo, "{}: cannot be opened ({})", path.string(),
          std::strerror(errno));
  struct stat status {};
  Require(fstat(file.fd, &status) == 0, ErrorKind::kIo, "{}: cannot be examined ({})",
          path.string(), std::strerror(errno));
  Require(S_ISREG(status.st_mode), ErrorKind::kIo, "{}: is not a regular file", path.string());
  Require(status.st_size > 0, ErrorKind::kIo, "{}: is empty (a download that failed?)",
          path.string());
  const auto size = static_cast<size_t>(status.st_size);
  void* memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  Require(memory != MAP_FAILED, ErrorKind::kIo, "{}: cannot be mapped into memory ({})",
          path.string(), std::strerror(errno));
  std::shared_ptr<const void> owner(memory, [size](void* mapped) { munmap(mapped, size); });
  return {path, std::move(owner), {static_cast<const std::byte*>(memory), size}};
}

void ReleasePages(std::span<const std::byte> bytes) {
  static const auto kPage = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());  // NOLINT: an address
  const uintptr_t first = begin / kPage * kPage;
  // Advice alone: where it cannot be followed, the pages stay.
  madvise(reinterpret_cast<void*>(first), begin + bytes.size() - first, MADV_DONTNEED);  // NOLINT
}

bool IsAligned(const std::byte* data, DType dtype) {
  return reinterpret_cast<uintptr_t>(data) % SizeOf(dtype) == 0;  // NOLINT: an address
}

bool CheckedTensorBytes(std::span<const int64_t> extents, DType dtype, int64_t* bytes) {
  auto nonzero = static_cast<int64_t>(SizeOf(dtype));  // the size as if extents of 0 were 1
  bool has_zero = false;
  for (const int64_t extent : extents) {
    if (extent < 0) return false;
    has_zero = has_zero || extent == 0;
    if (__builtin_mul_overflow(nonzero, std::max<int64_t>(extent, 1), &nonzero)) return false;
  }
  *bytes = has_zero ? 0 : nonzero;
  return true;
}

}  // namespace gesso
