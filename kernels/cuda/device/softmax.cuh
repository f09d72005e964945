// Rows of scores to shares.
#pragma once

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

// shares[row] = softmax(scale * scores[row]); both [rows, width], maybe the same memory
struct SoftmaxRow {
  const float* scores;
  Numbers shares;
  int64_t width;
  float scale;

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const float* const from = scores + row * width;
    float highest = -INFINITY;
    for (int64_t i = lanes.index(); i < width; i += lanes.count()) {
      highest = fmaxf(highest, scale * from[i]);
    }
    highest = lanes.Max(highest);
    float total = 0;
    for (int64_t i = lanes.index(); i < width; i += lanes.count()) {
      total += expf(scale * from[i] - highest);
    }
    const float factor = 1 / lanes.Sum(total);
    for (int64_t i = lanes.index(); i < width; i += lanes.count()) {
      shares.Set(row * width + i, expf(scale * from[i] - highest) * factor);
    }
  }
};

}  // namespace gesso::cuda
