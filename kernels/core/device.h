// Where a tensor lives and an op runs.
#pragma once

#include <cstdint>

namespace gesso {

enum class Device : uint8_t {
  kCpu,
  kCuda,
  kMeta,  // no memory and no arithmetic: counts bytes and operations before the work starts
};

}  // namespace gesso
