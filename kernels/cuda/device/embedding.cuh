// One feature of a scalar.
#pragma once

#include "kernels/cuda/device/divisor.cuh"
#include "kernels/embedding.h"

namespace gesso::cuda {

// i counts the elements of out [B, 2F]. Angles are of many turns: in double, as on the CPU.
struct FourierFeatureElement {
  const float* u;
  const float* weight;
  float* out;
  int64_t inputs, features;  // N, F
  Divisor width;             // 2F

  explicit FourierFeatureElement(const FourierFeaturesArgs& args)
      : u(static_cast<const float*>(args.u.data)),
        weight(static_cast<const float*>(args.weight.data)),
        out(static_cast<float*>(args.out.data)),
        inputs(args.weight.shape[1]),
        features(args.weight.shape[0]),
        width(2 * features) {}

  GESSO_BOTH void operator()(int64_t i) const {
    constexpr double kTurn = 6.283185307179586;
    const int64_t b = i / width;
    const int64_t f = i - b * width;
    const int64_t row = f < features ? f : f - features;
    double turns = 0;
    for (int64_t n = 0; n < inputs; ++n) {
      turns +=
          static_cast<double>(weight[row * inputs + n]) * static_cast<double>(u[b * inputs + n]);
    }
    const double angle = kTurn * turns;
    out[i] = static_cast<float>(f < features ? cos(angle) : sin(angle));
  }
};

}  // namespace gesso::cuda
