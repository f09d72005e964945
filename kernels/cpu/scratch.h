// A thread's own working memory: grows to the largest request and is kept, so that repeated steps
// allocate nothing.
#pragma once

#include <cstdint>

namespace gesso::cpu {

// Hands out consecutive 64-byte aligned pieces of one block per thread. One Scratch is in use at a
// time on a thread; a new one takes the pieces of the last one back.
class Scratch {
 public:
  // `total` floats, of which every piece takes its size rounded up to a multiple of 16.
  explicit Scratch(int64_t total);

  // The next piece, uninitialised.
  float* Take(int64_t floats) {
    float* piece = next_;
    next_ += Rounded(floats);
    return piece;
  }
  static int64_t Rounded(int64_t floats) { return (floats + 15) / 16 * 16; }

 private:
  float* next_;
};

}  // namespace gesso::cpu
