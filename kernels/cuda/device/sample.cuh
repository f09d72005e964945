// Rows of the softmax that mixes tokens in place of drawing one.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/sample.h"

namespace gesso::cuda {

struct GumbelSoftmaxRow {
  const float* logits;
  const float* gumbel;
  float* weights;  // may be either of them: an element is read and written by the same lane
  int64_t width;
  float gain, tau;

  explicit GumbelSoftmaxRow(const GumbelSoftmaxArgs& args)
      : logits(static_cast<const float*>(args.logits.data)),
        gumbel(static_cast<const float*>(args.gumbel.data)),
        weights(static_cast<float*>(args.weights.data)),
        width(args.logits.shape[1]),
        gain(args.gain),
        tau(args.tau) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t end = (row + 1) * width;
    float largest = -INFINITY;
    for (int64_t i = row * width + lanes.index(); i < end; i += lanes.count()) {
      weights[i] = (gain * logits[i] + gumbel[i]) / tau;
      largest = fmaxf(largest, weights[i]);
    }
    largest = lanes.Max(largest);
    float sum = 0;
    for (int64_t i = row * width + lanes.index(); i < end; i += lanes.count()) {
      weights[i] = expf(weights[i] - largest);
      sum += weights[i];
    }
    sum = lanes.Sum(sum);
    for (int64_t i = row * width + lanes.index(); i < end; i += lanes.count()) weights[i] /= sum;
  }
};

}  // namespace gesso::cuda
