// Memory that was given back and waits for its next use. Giving it to the system and asking for it
// again costs more than most ops, and new memory lies nowhere until the GPU has faulted it in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace gesso::cuda {

class FreeBlocks {
 public:
  // Keeps no more than `most` bytes.
  explicit FreeBlocks(size_t most) : most_(most) {}

  // What a block of at least `bytes` really takes: an eighth more at most, so that blocks of about
  // one size serve each other.
  static size_t BlockBytes(size_t bytes) {
    constexpr size_t kLeast = 4096;
    size_t step = kLeast;
    while (step * 16 <= bytes) step *= 2;
    return (std::max(bytes, kLeast) + step - 1) / step * step;
  }

  // A block of exactly `bytes`, the one that was used last.
  std::optional<void*> Take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(bytes);
    if (found == blocks_.end() || found->second.empty()) return std::nullopt;
    void* const block = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) blocks_.erase(found);
    bytes_ -= bytes;
    return block;
  }
  // False: it is not kept.
  bool Give(void* block, size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    if (bytes > most_ - bytes_) return false;
    try {
      blocks_[bytes].push_back(block);
    } catch (const std::bad_alloc&) {
      return false;
    }
    bytes_ += bytes;
    return true;
  }
  // All of them, which are kept no longer.
  std::vector<void*> TakeAll() {
    const std::lock_guard lock(mutex_);
    std::vector<void*> all;
    for (const auto& [bytes, blocks] : std::exchange(blocks_, {})) {
      all.insert(all.end(), blocks.begin(), blocks.end());
    }
    bytes_ = 0;
    return all;
  }
  size_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> blocks_;
  size_t bytes_ = 0;
  size_t most_;
};

}  // namespace gesso::cuda
