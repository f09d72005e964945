#include "kernels/core/profile.h"

namespace gesso {

void Profiler::Add(std::string_view op, std::string_view implementation, double seconds,
                   OpCost cost) {
  Entry& entry = entries_[std::string(op) + "/" + std::string(implementation)];
  ++entry.calls;
  entry.seconds += seconds;
  entry.cost.flops += cost.flops;
  entry.cost.bytes += cost.bytes;
}

}  // namespace gesso
