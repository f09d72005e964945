// Memory for activations: one block, given out and taken back in stack order. Sized by a dry run
// on the meta device, so that a step of inference allocates nothing.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/core/tensor.h"

namespace gesso {

class Arena {
 public:
  // A block of `bytes` on `device`. On kMeta nothing is reserved and nothing can run out: views
  // have addresses that must not be followed, and peak_bytes() says what a real run needs.
  // Throws kMemory if the block cannot be had.
  Arena(Device device, size_t bytes);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // An uninitialised view, 64-byte aligned, valid until the enclosing Scope ends.
  // Throws kMemory when the block is full.
  View Alloc(const Shape& shape, DType dtype);

  // Where the next view will lie; null where nothing is reserved.
  const void* Top() const {
    return block_ ? static_cast<std::byte*>(block_.get()) + used_ : nullptr;
  }

  size_t peak_bytes() const { return peak_; }
  size_t capacity_bytes() const { return capacity_; }

  // Gives back on destruction everything allocated since construction.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.used_) {}
    ~Scope() { arena_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t mark_;
  };

 private:
  Device device_;
  size_t capacity_;
  size_t used_ = 0;
  size_t peak_ = 0;
  std::shared_ptr<void> block_;
};

}  // namespace gesso
