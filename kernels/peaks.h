// What a device's own ops reach at best: what every other op on it is compared with.
#pragma once

#include "kernels/core/device.h"
#include "kernels/core/dtype.h"

namespace gesso {

struct DevicePeaks {
  double flops = 0;  // of a large square product (multiply-add = 2), a second
  double bytes = 0;  // read and written by a copy of a large tensor, a second
};

// Measures both on a device that has been set up, the product in `dtype` (kF32 or kBF16), as the
// fastest of some runs. `side` of the product's matrices, at least 64; the copy is of as many bytes
// as one of them has in float32, times 4. Throws kMemory where they do not fit.
DevicePeaks MeasurePeaks(Device device, DType dtype, int64_t side);

}  // namespace gesso
