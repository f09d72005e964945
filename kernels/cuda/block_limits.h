// What a device has for blocks of threads.
#pragma once

#include <cstddef>

namespace gesso::cuda {

struct BlockLimits {
  size_t shared_bytes;  // that one block may ask for
  int multiprocessors;
};

}  // namespace gesso::cuda
