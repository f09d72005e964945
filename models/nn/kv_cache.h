// Keys and values of one attention layer, for tokens that later ones attend to. Memory is reserved
// once; a head's keys lie behind each other.
#pragma once

#include <span>

#include "kernels/core/tensor.h"

namespace gesso::nn {

class KvCache {
 public:
  KvCache() = default;
  // Room for `capacity` tokens of `rows` sequences; dtype kF32 or kBF16.
  KvCache(int64_t rows, int64_t heads, int64_t head_dim, int64_t capacity, DType dtype);

  int64_t rows() const { return keys_.shape()[0]; }
  int64_t capacity() const { return keys_.shape()[2]; }
  int64_t size() const { return size_; }  // tokens held
  size_t bytes() const { return keys_.view().bytes() + values_.view().bytes(); }

  void Clear() { size_ = 0; }

  // Memory for the next tokens: [R, tokens, H, D] each, strided, to be filled by the caller.
  struct Slots {
    View keys;
    View values;
  };
  // Throws kMemory where they would exceed the capacity.
  Slots Append(int64_t tokens);

  // [R, size, H, D], last dimension contiguous.
  ConstView keys() const;
  ConstView values() const;

  // Keeps of each head of each row the tokens in indices [R, H, n] i32, strictly ascending, n <=
  // size. Throws kShape for others. On the meta device only the size changes.
  void Compact(ConstView indices, Device device = Device::kCpu);

  // A cache with the rows `rows` of this one, with the same room.
  KvCache Fork(std::span<const int64_t> rows) const;

 private:
  Tensor keys_;    // [R, H, capacity, D]
  Tensor values_;  // as keys_
  int64_t size_ = 0;
};

}  // namespace gesso::nn
