// What one forward pass of a model costs, counted without computing it and measured.
#pragma once

#include "kernels/core/profile.h"
#include "pipelines/diffusion_model.h"

namespace gesso {

struct PassCost {
  double flops = 0;         // multiply-add = 2
  double bytes = 0;         // compulsory reads and writes of all ops
  int64_t arena_bytes = 0;  // of activations
};

// One call of the network for `pictures` pictures of the size in `request` (resolved), without
// guidance: a run on the meta device.
PassCost CountPass(const DiffusionModel& model, const Request& request, int64_t pictures);

// Times the same call: seconds of the fastest of `repeats` calls, and time and cost of every op in
// `profiler`, over all of them; on a device beside the CPU over as many calls that follow.
double TimePass(const DiffusionModel& model, const Request& request, int64_t pictures,
                Device device, int64_t repeats, Profiler& profiler);

}  // namespace gesso
