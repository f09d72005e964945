// How much memory this process may still take, asked before the work starts.
#pragma once

#include <cstdint>
#include <string>

namespace gesso {

// Bytes: the smallest of what the machine has available, what the process's address space limit
// (ulimit -v) leaves, what its control group leaves, and what is free on the device in use.
int64_t AvailableMemory();

// Throws kMemory, with both numbers, unless `bytes` are available for `what`.
void RequireMemory(int64_t bytes, const std::string& what);

}  // namespace gesso
