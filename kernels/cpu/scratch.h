// A thread's own working memory: grows to the largest request and is kept, so that repeated steps
// allocate nothing.
#pragma once

#include <cstdint>

namespace gesso::cpu {

// What a block of a thread's memory is for.
enum class ScratchUse {
  kWork,    // anything
  kValues,  // decoded weights of a product (codes-inl.h)
  kGates,   // ... of a gated product's gates
  kCodes,   // rounded inputs of a product
};

// Hands out consecutive 64-byte aligned pieces of a thread's block for `use`. One Scratch of a use
// is in use at a time on a thread; a new one takes the pieces of the last one back.
class Scratch {
 public:
  // `total` floats, of which every piece takes its size rounded up to a multiple of 16.
  explicit Scratch(int64_t total, ScratchUse use = ScratchUse::kWork);

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
