// A few bytes of the host that travel as the arguments of a kernel: in order with other kernels,
// and without the host waiting for anything.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

struct BytesElement {
  static constexpr size_t kMost = 1024;  // well below what a kernel's arguments may take
  unsigned char* to = nullptr;
  unsigned char bytes[kMost] = {};

  GESSO_BOTH void operator()(int64_t i) const { to[i] = bytes[i]; }
};

// Calls launch(count, body) for as many bodies as `size` bytes take.
template <class Launch>
void WriteBytes(unsigned char* to, const unsigned char* from, size_t size, const Launch& launch) {
  for (size_t begin = 0; begin < size; begin += BytesElement::kMost) {
    BytesElement body;
    const size_t count = std::min(size - begin, BytesElement::kMost);
    body.to = to + begin;
    memcpy(body.bytes, from + begin, count);
    launch(static_cast<int64_t>(count), body);
  }
}

}  // namespace gesso::cuda
