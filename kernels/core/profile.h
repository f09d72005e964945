// Time, operations and bytes per op, for `gesso bench`, `gesso info` and the roofline lines.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace gesso {

// What one call of an op has to do at least: the roofline's two axes.
struct OpCost {
  double flops = 0;  // multiply-add = 2
  double bytes = 0;  // compulsory reads + writes
};

class Profiler {
 public:
  struct Entry {
    int64_t calls = 0;
    double seconds = 0;
    OpCost cost;
  };

  void Add(std::string_view op, std::string_view implementation, double seconds, OpCost cost);
  // Keyed by "op/implementation".
  const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  std::map<std::string, Entry> entries_;
};

}  // namespace gesso
