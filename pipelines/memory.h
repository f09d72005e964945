// How much memory this process may still take, asked before the work starts.
#pragma once

#include <cstdint>
#include <string>

namespace gesso {

// Bytes: the smallest of what the machine has available, what the process's address space limit
// (ulimit -v) leaves, what its control group leaves, and what is free on the device in use.
int64_t AvailableMemory();

// What AvailableMemory says at most, as long as it lives: a small machine, for tests. One at a
// time.
class MemoryLimit {
 public:
  explicit MemoryLimit(int64_t bytes);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;
};

// Throws kMemory, with both numbers, unless `bytes` are available for `what`.
void RequireMemory(int64_t bytes, const std::string& what);

}  // namespace gesso
