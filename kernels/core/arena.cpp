#include "kernels/core/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>

#include "kernels/core/backend.h"

namespace gesso {

namespace {

constexpr size_t kAlign = 64;

std::shared_ptr<void> MapBlock(size_t bytes) {
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Require(block != MAP_FAILED, ErrorKind::kMemory,
          "cannot reserve {:.1f} MiB for activations; try a smaller picture or batch",
          static_cast<double>(bytes) / (1 << 20));
  return {block, [bytes](void* mapped) { munmap(mapped, bytes); }};
}

}  // namespace

Arena::Arena(Device device, size_t bytes)
    : device_(device),
      capacity_(device == Device::kMeta ? std::numeric_limits<size_t>::max() / 2 : bytes) {
  if (device == Device::kMeta || bytes == 0) return;
  if (device == Device::kCpu) {
    block_ = MapBlock(bytes);
    return;
  }
  Require(CurrentBackend() != nullptr, ErrorKind::kDevice, "an arena for a device not set up");
  block_ = CurrentBackend()->Allocate(bytes, FirstUse::kDevice);
}

View Arena::Alloc(const Shape& shape, DType dtype) {
  const size_t bytes =
      (static_cast<size_t>(shape.numel()) * SizeOf(dtype) + kAlign - 1) / kAlign * kAlign;
  Require(bytes <= capacity_ - used_, ErrorKind::kMemory,
          "the activation arena of {} bytes is full ({} used, {} more asked for)", capacity_, used_,
          bytes);
  // The meta device hands out addresses from 64 up, so that a view is never mistaken for empty.
  auto* base = block_ ? static_cast<std::byte*>(block_.get())
                      : reinterpret_cast<std::byte*>(kAlign);  // NOLINT: never dereferenced
  View view(base + used_, shape, dtype, device_);
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return view;
}

}  // namespace gesso
