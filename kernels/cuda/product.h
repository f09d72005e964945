// Products of matrices by cuBLASLt, accumulated in float32 (of e4m3 numbers as well), or of 8-bit
// integers in int32: what linear layers and convolutions share.
#pragma once

#include <algorithm>
#include <compare>
#include <functional>

#include "kernels/activation.h"
#include "kernels/cuda/device/pointwise.cuh"

namespace gesso::cuda {

// What the scratch memory of ops with products (launch.cuh) holds.
enum ProductScratch { kInputs, kProduct, kWorkspace, kWeights, kHalves };

// product [M, N] = x [M, K] weight [N, K]^T
struct Product {
  int64_t rows, outputs, inputs;  // M, N, K
  int64_t stride;                 // from row to row of x, in elements
  DType in;                       // of x and weight: kF32, kBF16, kI8 or kF8E4M3
  int64_t out_stride = 0;         // from row to row of the product, in elements; 0: N
  int64_t weight_stride = 0;      // from row to row of weight; 0: they follow one another
  bool weight_lies = false;       // weight is [K, N]

  auto operator<=>(const Product&) const = default;
};

// Writes that of 8-bit integers. K, N, the strides and all addresses must be multiples of 4, better
// of 16.
void MultiplyIntegers(const Product& product, const void* weight, const void* x, int32_t* out);
// Whether this GPU and its cuBLASLt have that of e4m3 numbers, for memory at multiples of 16 bytes.
// K, N and the strides must be multiples of 16.
bool HasFloat8(const Product& product);
// Writes it as float32, scales left out.
void MultiplyFloat8(const Product& product, const void* weight, const void* x, float* out);

// Calls multiply(part, first) for parts of `most` outputs, `first` being the first output of each:
// for weights that are brought into another form part by part.
template <class MultiplyPart>
void ForEachTile(const Product& product, int64_t most, const MultiplyPart& multiply) {
  Product part = product;
  part.out_stride = product.out_stride == 0 ? product.outputs : product.out_stride;
  for (int64_t first = 0; first < product.outputs; first += most) {
    part.outputs = std::min(most, product.outputs - first);
    multiply(part, first);
  }
}

// out = activation(product + bias) + residual
struct Epilogue {
  Numbers bias = {};  // [N], or absent
  // The same in bfloat16 where `out` is, if there is one: cuBLASLt adds no other then.
  Numbers rounded_bias = {};
  Activation activation = Activation::kNone;
  Numbers residual = {};  // [M, N] or absent; may be out
  Numbers out;            // [M, N]
};

// The same as a pass over sums of `outputs` a row, which the caller adds.
inline EpilogueElement ElementOf(const Epilogue& epilogue, int64_t outputs) {
  EpilogueElement body;
  body.bias = epilogue.bias;
  body.residual = epilogue.residual;
  body.out = epilogue.out;
  body.width = outputs;
  body.activation = epilogue.activation;
  return body;
}

// x of a product: a matrix, or the sum of two in bfloat16 that lie alike.
struct InputParts {
  const void* first;
  const void* second = nullptr;
};

// Uses the scratch kProduct where cuBLASLt cannot do all of it.
void MultiplyAndFinish(const Product& product, const void* weight, const InputParts& x,
                       const Epilogue& epilogue);
// The same with `most` outputs' weights at a time, which weights(first, count) returns.
void MultiplyAndFinish(const Product& product, int64_t most,
                       const std::function<const void*(int64_t, int64_t)>& weights,
                       const InputParts& x, const Epilogue& epilogue);

}  // namespace gesso::cuda
