// What cuBLASLt does in one with a product, decided on the host: biases, residuals and one
// activation.
#pragma once

#include <optional>

#include "kernels/cuda/product.h"

namespace gesso::cuda {

// The largest power of two, up to what cuBLASLt assumes at most, that divides address and row.
inline uint32_t AlignmentOf(const void* data, int64_t row_bytes) {
  const auto bits = reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(row_bytes) | 256;
  return static_cast<uint32_t>(bits & -bits);
}

// out = gelu(product + bias) or product + bias + added
struct Sum {
  Numbers out;
  Numbers added = {};  // of the type of out, maybe out itself; or absent
  Numbers bias = {};   // of the type of out, or absent
  bool gelu = false;   // by tanh, as cuBLASLt's is (pytorch/pytorch pull request 104061)

  // Of the outputs from `first` on.
  Sum From(int64_t first) const {
    return {out.From(first), added.From(first), bias.From(first), gelu};
  }
};

// The whole of `epilogue`, where cuBLASLt may be able to do it: it writes float32 from either type,
// bfloat16 from bfloat16 alone, and adds numbers of the type that it writes. Biases have to begin
// at a multiple of 16 bytes, which it does not ask for. Its GELU is no more exact than bfloat16.
inline std::optional<Sum> SumOf(DType in, const Epilogue& epilogue) {
  const bool bf16 = epilogue.out.bf16;
  Sum sum = {.out = epilogue.out, .added = epilogue.residual};
  if (!epilogue.bias.absent()) {
    sum.bias = bf16 ? epilogue.rounded_bias : epilogue.bias;
    if (sum.bias.absent() || sum.bias.bf16 != bf16 || AlignmentOf(sum.bias.data, 0) < 16) return {};
  }
  if ((bf16 && in != DType::kBF16) || (!sum.added.absent() && sum.added.bf16 != bf16)) return {};
  if (epilogue.activation == Activation::kNone) return sum;
  if (epilogue.activation != Activation::kGeluTanh || !bf16 || !sum.added.absent()) return {};
  sum.gelu = true;
  return sum;
}

}  // namespace gesso::cuda
