// Keys and values of one attention layer, for tokens that later ones attend to. A head's keys lie
// behind each other. What new tokens add is kept only if somebody says so: the last need no room.
#pragma once

#include <span>

#include "kernels/core/context.h"

namespace gesso::nn {

class KvCache {
 public:
  KvCache() = default;
  // Room for `capacity` tokens of `rows` sequences; dtype kF32 or kBF16.
  KvCache(int64_t rows, int64_t heads, int64_t head_dim, int64_t capacity, DType dtype);

  int64_t rows() const { return keys_.shape()[0]; }
  int64_t capacity() const { return keys_.shape()[2]; }
  int64_t size() const { return size_; }  // tokens held
  // The memory it takes: room that has not been used yet takes none.
  size_t bytes() const;

  // Says that the first `tokens` tokens of its room are held: none, to begin anew, or those that a
  // device has written without the host's part in it (kernels/core/replay.h).
  void Hold(int64_t tokens);

  // Gives the memory back; nothing can be appended any more.
  void Release() { *this = KvCache(); }

  // The tokens held and some more, which the caller fills in.
  struct Extension {
    View keys;    // [R, size + tokens, H, D], last dimension contiguous
    View values;  // like keys

    View NewKeys(int64_t tokens) const { return Last(keys, tokens); }
    View NewValues(int64_t tokens) const { return Last(values, tokens); }

   private:
    static View Last(View all, int64_t tokens) {
      return all.Slice(1, all.shape[1] - tokens, all.shape[1]);
    }
  };
  // In the cache itself where it has room for `tokens` more, else a copy on the arena.
  Extension Extend(Context& ctx, int64_t tokens);

  // Holds the tokens of the last extension from now on: all of them, or of each head of each row
  // those in indices [R, H, n] i32, strictly ascending. An extension that is a copy changes the
  // capacity to just what is kept. Throws kShape for other indices. On the meta device no token is
  // moved.
  void Keep(const Extension& extension, ConstView indices = {}, Device device = Device::kCpu);

  // A cache with the rows `rows` of this one, with the same room.
  KvCache Fork(std::span<const int64_t> rows) const;

 private:
  void CheckIndices(ConstView indices, int64_t held, Device device) const;

  Tensor keys_;    // [R, H, capacity, D]
  Tensor values_;  // as keys_
  int64_t size_ = 0;
  int64_t used_ = 0;  // tokens that the room has held at most
};

// What all of them take.
size_t BytesOf(std::span<const KvCache> caches);

}  // namespace gesso::nn
