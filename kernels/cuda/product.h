// Products of matrices by cuBLASLt, accumulated in float32: what linear layers and convolutions
// share.
#pragma once

#include <compare>

#include "kernels/activation.h"
#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

// What the scratch memory of ops with products (launch.cuh) holds.
enum ProductScratch { kInputs, kProduct, kWorkspace };

// product [M, N] = x [M, K] weight [N, K]^T
struct Product {
  int64_t rows, outputs, inputs;  // M, N, K
  int64_t stride;                 // from row to row of x, in elements
  DType in;                       // of x and weight: kF32 or kBF16

  auto operator<=>(const Product&) const = default;
};

// Writes the product as float32.
void Multiply(const Product& product, const void* weight, const void* x, float* out);

// out = activation(product + bias) + residual
struct Epilogue {
  Numbers bias;  // [N], or absent
  Activation activation = Activation::kNone;
  Numbers residual;  // [M, N] or absent; may be out
  Numbers out;       // [M, N]
};

// Uses the scratch kProduct where cuBLASLt cannot do all of it.
void MultiplyAndFinish(const Product& product, const void* weight, const void* x,
                       const Epilogue& epilogue);

}  // namespace gesso::cuda
