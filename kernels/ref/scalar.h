// Elements as doubles: how the reference implementations read, write and transform single values.
#pragma once

#include <cmath>
#include <numbers>

#include "kernels/activation.h"
#include "kernels/core/tensor.h"

namespace gesso::ref {

// Element `index` (in elements from `data`, not through strides) of f32 or bf16 memory.
inline double Load(const void* data, DType dtype, int64_t index) {
  if (dtype == DType::kBF16) {
    return static_cast<double>(static_cast<float>(static_cast<const BFloat16*>(data)[index]));
  }
  return static_cast<double>(static_cast<const float*>(data)[index]);
}

inline void Store(void* data, DType dtype, int64_t index, double value) {
  if (dtype == DType::kBF16) {
    static_cast<BFloat16*>(data)[index] = BFloat16(static_cast<float>(value));
  } else {
    static_cast<float*>(data)[index] = static_cast<float>(value);
  }
}

inline double Activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::kGeluTanh: {
      const double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(inner));
    }
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kRelu:
      return x < 0 ? 0 : x;  // keeps NaN
  }
  CHECK(false);
}

}  // namespace gesso::ref
