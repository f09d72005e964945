// A checkpoint of random numbers that fits a module: every name and shape that it declares.
#pragma once

#include <cmath>

#include "kernels/core/rng.h"
#include "models/nn/load.h"

namespace gesso::testing_support {

// Values of a size that keeps activations near 1; attention scales are positive, as trained ones.
template <nn::Module M>
Weights RandomWeights(M& module, uint64_t seed) {
  nn::ShapeCollector collector;
  module.Visit(collector, "");
  Weights weights;
  weights.path = "random.safetensors";
  uint64_t stream = 0;
  for (const auto& [name, shape] : collector.shapes()) {
    Tensor tensor(shape, DType::kF32);
    FillNormal(tensor.mutable_view(), seed, stream++);
    const bool is_scale = name.ends_with("scale");
    const auto fan_in = static_cast<float>(shape.rank() >= 2 ? shape.numel() / shape[0] : 1);
    for (int64_t i = 0; i < shape.numel(); ++i) {
      float& value = tensor.MutableData<float>()[i];
      value = is_scale ? 1 + std::abs(value) : value / std::sqrt(fan_in);
    }
    weights.tensors[name] = std::move(tensor);
  }
  return weights;
}

}  // namespace gesso::testing_support
