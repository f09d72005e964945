// Matrix products with a weight matrix that was packed once: Linear and the gated Linear of
// GEGLU/SwiGLU. Bias, activation and residual are fused into the product's epilogue.
#pragma once

#include <memory>
#include <string>

#include "kernels/activation.h"
#include "kernels/core/context.h"
#include "kernels/core/op_table.h"
#include "kernels/factors.h"

namespace gesso {

// A weight matrix [N, K] in the layout that the device's fastest product reads. Const after
// packing, cheap to copy (shared).
class PackedMatrix {
 public:
  // What a backend keeps of the matrix.
  struct Storage {
    virtual ~Storage() = default;
    // Writes the matrix back as [N, K] row-major float32, for the reference product.
    virtual void Unpack(float* weight) const = 0;
  };

  enum class Encoding {
    kFloats,       // of type dtype()
    kSplitFloats,  // float32 ones, each as the sum of two bfloat16 numbers
    kDigits,       // float32 ones, each as three digits of 8 bits
    kCodes,        // few bits (low_bit.h), decoded to dtype() for products in it
    kIntegers,     // few bits, for products with inputs rounded to 8 bits
    kDevice,       // as a device beside the CPU multiplies them
  };

  PackedMatrix() = default;
  PackedMatrix(std::shared_ptr<const Storage> storage, int64_t rows, int64_t cols, DType dtype)
      : PackedMatrix(std::move(storage), rows, cols, dtype, Encoding::kFloats,
                     static_cast<size_t>(rows * cols) * SizeOf(dtype)) {}
  // `bytes`: what the weights take.
  PackedMatrix(std::shared_ptr<const Storage> storage, int64_t rows, int64_t cols, DType dtype,
               Encoding encoding, size_t bytes)
      : storage_(std::move(storage)),
        rows_(rows),
        cols_(cols),
        dtype_(dtype),
        encoding_(encoding),
        bytes_(bytes) {}

  bool empty() const { return rows_ == 0; }
  int64_t rows() const { return rows_; }  // N, outputs
  int64_t cols() const { return cols_; }  // K, inputs
  DType dtype() const { return dtype_; }  // type of the products' inputs: kF32 or kBF16
  // What a tap sees inputs of products with it under; empty: nothing.
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  Encoding encoding() const { return encoding_; }
  size_t bytes() const { return bytes_; }
  const Storage& storage() const { return *storage_; }

 private:
  std::shared_ptr<const Storage> storage_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  DType dtype_ = DType::kF32;
  Encoding encoding_ = Encoding::kFloats;
  size_t bytes_ = 0;
  std::string name_;
};

// The element type in which activations should be kept between ops for weights of type `dtype`:
// kBF16 where bf16 was asked for and the device multiplies it natively, kF32 otherwise.
DType ActivationDType(Device device, DType dtype);

// Packs `weight` [N, K] (f32, bf16 or f16, contiguous) for products in `dtype` (kF32 or kBF16).
// On a CPU without bf16 instructions kBF16 is widened here, once, and computes in float32.
PackedMatrix PackMatrix(Device device, ConstView weight, DType dtype,
                        Factors factors = Factors::kSplit);

// out[m, n] = activation(sum_k x[m, k] * weight[n, k] + bias[n]) + residual[m, n]
struct LinearArgs {
  ConstView x;                 // [..., K] f32 or bf16; rows contiguous, row stride free when rank 2
  const PackedMatrix* weight;  // [N, K]
  ConstView bias;              // [N] f32, or empty
  Activation activation = Activation::kNone;
  ConstView residual;  // [..., N] dtype of out, or empty; may be `out` itself
  View out;            // [..., N] f32 or bf16, contiguous
};
void Linear(Context& ctx, const LinearArgs& args);

// out[m, f] = value * activation(gate), (value, gate) = halves of x weight^T: value first.
// The 2F-wide product is never written to memory as a whole.
struct LinearGluArgs {
  ConstView x;                                   // [..., K] f32 or bf16, contiguous
  const PackedMatrix* weight;                    // [2F, K]
  Activation activation = Activation::kGeluErf;  // kGeluErf: GEGLU, kGeluTanh, kSilu: SwiGLU
  View out;                                      // [..., F] f32 or bf16, contiguous
};
void LinearGlu(Context& ctx, const LinearGluArgs& args);

// Both ops begin with these: they throw where arguments do not fit each other.
void CheckArgs(const LinearArgs& args);
void CheckArgs(const LinearGluArgs& args);

const OpTable<LinearArgs>& LinearTable();
const OpTable<LinearGluArgs>& LinearGluTable();

}  // namespace gesso
