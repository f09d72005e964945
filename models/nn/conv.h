// Convolutions with bias on kernels packed once; pictures are channels last.
#pragma once

#include "kernels/conv.h"
#include "models/nn/module.h"

namespace gesso::nn {

class Conv2d {
 public:
  // A square kernel of `size` pixels; "same" padding unless `conv` says something else.
  Conv2d(int64_t out_channels, int64_t in_channels, int64_t size, Precision precision)
      : Conv2d(out_channels, in_channels, size, precision, {.padding = size / 2}) {}
  Conv2d(int64_t out_channels, int64_t in_channels, int64_t size, Precision precision,
         Conv2dShape conv)
      : out_(out_channels), in_(in_channels), size_(size), precision_(precision), conv_(conv) {}

  int64_t out_channels() const { return out_; }
  int64_t in_channels() const { return in_; }

  void Visit(ParameterVisitor& visitor, const std::string& prefix) {
    visitor.Kernel(prefix + "weight", {out_, in_ / conv_.groups, size_, size_}, conv_, precision_,
                   kernel_);
    visitor.Plain(prefix + "bias", {out_}, Role::kParameter, bias_);
  }

  // out = conv(x) + bias + residual. x [B, H, W, in], out and residual [B, H', W', out], f32 or
  // bf16; residual may be empty, or `out` itself.
  void Forward(Context& ctx, ConstView x, View out, ConstView residual = {}) const {
    gesso::Conv2d(ctx,
                  {.x = x, .kernel = &kernel_, .bias = bias_, .residual = residual, .out = out});
  }

 private:
  int64_t out_;
  int64_t in_;
  int64_t size_;
  Precision precision_;
  Conv2dShape conv_;
  PackedKernel kernel_;
  Tensor bias_;
};

}  // namespace gesso::nn
