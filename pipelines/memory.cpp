#include "pipelines/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>

#include "kernels/core/backend.h"
#include "kernels/core/error.h"

namespace gesso {

namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

std::atomic<int64_t> limit_of_test = kUnlimited;

// The first number in a file of the kernel, or `fallback` ("max", no such file).
int64_t NumberIn(const std::string& path, int64_t fallback) {
  int64_t value = 0;
  return std::ifstream(path) >> value ? value : fallback;
}

int64_t AvailableOnMachine() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::string rest;
  int64_t kibibytes = 0;
  while (file >> key >> kibibytes && std::getline(file, rest)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return kUnlimited;
}

int64_t LeftOfAddressSpace() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const int64_t used = NumberIn("/proc/self/statm", 0) * sysconf(_SC_PAGESIZE);
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - used);
}

// Control groups, version 2: "0::/path" names ours below /sys/fs/cgroup.
int64_t LeftOfControlGroup() {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("0::")) continue;
    const std::string folder = "/sys/fs/cgroup" + line.substr(3);
    const int64_t most = NumberIn(folder + "/memory.max", kUnlimited);
    if (most == kUnlimited) return kUnlimited;
    return std::max<int64_t>(0, most - NumberIn(folder + "/memory.current", 0));
  }
  return kUnlimited;
}

int64_t LeftOnDevice() {
  const Backend* const backend = CurrentBackend();
  return backend == nullptr ? kUnlimited : static_cast<int64_t>(backend->FreeBytes());
}

}  // namespace

int64_t AvailableMemory() {
  // What a GPU uses lies in the machine's memory as well until it is there.
  return std::min({AvailableOnMachine(), LeftOfAddressSpace(), LeftOfControlGroup(), LeftOnDevice(),
                   limit_of_test.load()});
}

MemoryLimit::MemoryLimit(int64_t bytes) { limit_of_test = bytes; }
MemoryLimit::~MemoryLimit() { limit_of_test = kUnlimited; }

void RequireMemory(int64_t bytes, const std::string& what) {
  const int64_t available = AvailableMemory();
  Require(bytes <= available, ErrorKind::kMemory,
          "{} will not fit: it needs {} bytes ({:.2f} GiB), {} ({:.2f} GiB) are available", what,
          bytes, static_cast<double>(bytes) / (1 << 30), available,
          static_cast<double>(available) / (1 << 30));
}

}  // namespace gesso
