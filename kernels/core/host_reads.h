// Checks of what arguments say of memory: ids, positions.
#pragma once

#include "kernels/core/backend.h"
#include "kernels/core/op_table.h"

namespace gesso {

// Whether an implementation of the CPU will read the arguments, also in a device's place, which is
// waited for then. Where a device does, the host does not wait for it to look at them first.
template <class Args>
bool HostReads(const Context& ctx, const OpTable<Args>& table, const Args& args) {
  if (ctx.device == Device::kMeta) return false;
  if (ctx.device == Device::kCpu) return true;
  if (table.Choose(ctx.device, args).device != Device::kCpu) return false;
  WaitForDeviceBefore(table.op());
  return true;
}

}  // namespace gesso
