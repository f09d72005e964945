// CUDA: products by cuBLASLt, accumulated in float32. Weights lie on the device as [N, K] in the
// type of the products' inputs, or in few bits (low_bit.h).
#pragma once

#include <functional>

#include "kernels/cuda/product.h"
#include "kernels/gemm.h"

namespace gesso::cuda {

// Throws kDevice where the device cannot hold them.
PackedMatrix PackMatrix(ConstView weight, DType dtype);

std::optional<std::string_view> WhyNotLinear(const LinearArgs& args);
void Linear(Context& ctx, const LinearArgs& args);
std::optional<std::string_view> WhyNotLinearGlu(const LinearGluArgs& args);
void LinearGlu(Context& ctx, const LinearGluArgs& args);

// What comes after the product.
inline Epilogue EpilogueOf(const LinearArgs& args) {
  return {.bias = Numbers(args.bias),
          .activation = args.activation,
          .residual = Numbers(args.residual),
          .out = Numbers(args.out)};
}

// The rows of x [M, K] in the type of the weights: x itself, or the scratch kInputs. Float32
// numbers become two in bfloat16 each.
struct Inputs {
  InputParts data;
  int64_t rows, stride;  // M; from row to row, in elements
};
Inputs ConvertedInputs(ConstView x, const PackedMatrix& weight);

// multiply(product) writes x weight^T [M, 2F], where weight is a matrix of floats, to the scratch
// kHalves; its halves then become out.
void ActivateHalves(const LinearGluArgs& args, const std::function<void(View)>& multiply);

}  // namespace gesso::cuda
