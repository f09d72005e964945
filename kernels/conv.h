// Two-dimensional convolution with weights packed once.
#pragma once

#include <memory>

#include "kernels/activation.h"
#include "kernels/core/context.h"
#include "kernels/core/op_table.h"
#include "kernels/factors.h"

namespace gesso {

// out = activation(conv(x, weight) + bias) + residual; cross-correlation as in PyTorch's Conv2d.
struct Conv2dShape {
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t dilation = 1;
  int64_t groups = 1;
  int64_t end_padding = 0;  // rows and columns of zeros beyond `padding`, below and to the right
};

// A kernel [O, I/groups, KH, KW] in the layout the device's fastest convolution reads.
class PackedKernel {
 public:
  // What a backend keeps of the kernel.
  struct Storage {
    virtual ~Storage() = default;
    // Writes the kernel back as [O, I/groups, KH, KW] float32, for the reference convolution.
    virtual void Unpack(float* weight) const = 0;
  };

  PackedKernel() = default;
  PackedKernel(std::shared_ptr<const Storage> storage, const Shape& shape, DType dtype,
               Conv2dShape conv)
      : storage_(std::move(storage)), shape_(shape), dtype_(dtype), conv_(conv) {}

  const Shape& shape() const { return shape_; }  // [O, I/groups, KH, KW]
  DType dtype() const { return dtype_; }         // kF32 or kBF16
  const Conv2dShape& conv() const { return conv_; }
  const Storage& storage() const { return *storage_; }

 private:
  std::shared_ptr<const Storage> storage_;
  Shape shape_;
  DType dtype_ = DType::kF32;
  Conv2dShape conv_;
};

// Packs `weight` [O, I/groups, KH, KW] (f32, bf16 or f16, contiguous) for convolutions in `dtype`
// (kF32 or kBF16, widened where the device gains nothing from bf16, see PackMatrix). Throws kShape
// or kUsage if it cannot be the kernel of such a convolution.
PackedKernel PackKernel(Device device, ConstView weight, DType dtype, Conv2dShape conv,
                        Factors factors = Factors::kSplit);

struct Conv2dArgs {
  ConstView x;  // [B, H, W, I] f32 or bf16, contiguous (channels last)
  const PackedKernel* kernel;
  ConstView bias;  // [O] f32, or empty
  Activation activation = Activation::kNone;
  ConstView residual;  // like out, or empty; may be out
  View out;            // [B, H', W', O] f32 or bf16, contiguous
};
void Conv2d(Context& ctx, const Conv2dArgs& args);

const OpTable<Conv2dArgs>& Conv2dTable();

}  // namespace gesso
