// Weights that were copied to the GPU. They lie in memory that host and device share and stay in
// the machine's, so that the GPU can drop its copy at any time, for other work or for other
// weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace gesso::cuda {

class Uploads {
 public:
  // The same memory once more counts once.
  void Add(const void* memory, size_t bytes) {
    const std::lock_guard lock(mutex_);
    Part& part = parts_[static_cast<const std::byte*>(memory)];
    bytes_ += bytes - part.bytes;
    part = {.bytes = bytes, .id = ++last_id_};
  }
  // Of what was uploaded from `memory` on: whoever finds the same number again finds the same
  // values there. 0: nothing was.
  uint64_t IdOf(const void* memory) const {
    const std::lock_guard lock(mutex_);
    const auto part = parts_.find(static_cast<const std::byte*>(memory));
    return part == parts_.end() ? 0 : part->second.id;
  }
  // A block of memory is given back, with whatever was uploaded of it: whether anything was.
  bool Remove(const void* memory, size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto* const begin = static_cast<const std::byte*>(memory);
    const auto end = parts_.lower_bound(begin + bytes);
    const auto first = parts_.lower_bound(begin);
    const bool any = first != end;
    for (auto part = first; part != end; part = parts_.erase(part)) bytes_ -= part->second.bytes;
    return any;
  }
  size_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  struct Part {
    size_t bytes = 0;
    uint64_t id = 0;
  };

  mutable std::mutex mutex_;
  std::map<const std::byte*, Part> parts_;
  size_t bytes_ = 0;
  uint64_t last_id_ = 0;
};

// Bytes that work can have: those that the device says are free and those that make room, of
// weights and of blocks that nobody uses, no more than were free before anything of ours was there.
inline size_t FreeBesideWeights(size_t free, size_t weights, size_t at_start) {
  return std::max(free, std::min(free + weights, at_start));
}

}  // namespace gesso::cuda
