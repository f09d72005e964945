// How large an arena some work needs: the same calls on the meta device, where nothing is computed.
#pragma once

#include "kernels/core/context.h"

namespace gesso {

// Bytes of arena that work(ctx, outside) takes. What it allocates on the arena `outside` stands for
// memory of its callers and does not count.
template <class Work>
size_t DryRun(const Work& work) {
  Arena arena(Device::kMeta, 0);
  Arena outside(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  work(ctx, outside);
  return arena.peak_bytes();
}

// work(ctx) on an arena of its own, of the size that it needs.
template <class Work>
void RunInOwnArena(Device device, const Work& work) {
  Arena arena(device, DryRun([&](Context& ctx, Arena&) { work(ctx); }));
  Context ctx{.device = device, .arena = &arena};
  work(ctx);
}

}  // namespace gesso
