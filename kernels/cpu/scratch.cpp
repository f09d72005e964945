#include "kernels/cpu/scratch.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>

namespace gesso::cpu {

namespace {

// What most tasks get by with: a thread allocates at its first one and hardly ever again.
constexpr int64_t kUsual = int64_t{128} << 10;

struct Free {
  void operator()(float* floats) const { std::free(floats); }
};

struct Block {
  std::unique_ptr<float, Free> memory;
  int64_t capacity = 0;
};

}  // namespace

Scratch::Scratch(int64_t total, ScratchUse use) {
  thread_local std::array<Block, 4> blocks;
  Block& block = blocks[static_cast<size_t>(use)];
  if (total > block.capacity) {
    total = std::max(total, kUsual);
    const auto bytes = static_cast<size_t>(Rounded(total)) * sizeof(float);
    block.memory.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    if (block.memory == nullptr) throw std::bad_alloc();
    block.capacity = total;
  }
  next_ = block.memory.get();
}

}  // namespace gesso::cpu
