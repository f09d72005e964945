// The time that files are named by.
#pragma once

#include <chrono>
#include <cstdint>

namespace gesso::ui {

// Milliseconds since 1970.
inline int64_t UnixMilliseconds() {
  return std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
}

}  // namespace gesso::ui
