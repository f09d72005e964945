// One element of what convolutions are made of.
#pragma once

#include "kernels/conv.h"
#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

// Where the taps of an output pixel lie in x [B, H, W, I].
struct Taps {
  int64_t height, width, channels;  // of x
  int64_t out_height, out_width;
  int64_t kernel_width;
  int64_t stride, padding, dilation;

  explicit Taps(const Conv2dArgs& args)
      : height(args.x.shape[1]),
        width(args.x.shape[2]),
        channels(args.x.shape[3]),
        out_height(args.out.shape[1]),
        out_width(args.out.shape[2]),
        kernel_width(args.kernel->shape()[3]),
        stride(args.kernel->conv().stride),
        padding(args.kernel->conv().padding),
        dilation(args.kernel->conv().dilation) {}

  // The first channel of tap `tap` of output pixel `pixel`, or -1 where that is beyond x.
  GESSO_BOTH int64_t At(int64_t pixel, int64_t tap) const {
    const int64_t b = pixel / out_width / out_height;
    const int64_t y = pixel / out_width % out_height;
    const int64_t row = y * stride - padding + tap / kernel_width * dilation;
    const int64_t column = pixel % out_width * stride - padding + tap % kernel_width * dilation;
    if (row < 0 || row >= height || column < 0 || column >= width) return -1;
    return ((b * height + row) * width + column) * channels;
  }
};

// patches [pixels, KH * KW * I] of the output pixels from `first` on, so that a product with the
// kernel [O, KH * KW * I] convolves.
struct PatchElement {
  Taps taps;
  Numbers x, patches;
  int64_t first = 0;
  int64_t depth;  // KH * KW * I

  explicit PatchElement(const Conv2dArgs& args)
      : taps(args),
        x(args.x),
        depth(args.kernel->shape()[1] * args.kernel->shape()[2] * args.kernel->shape()[3]) {}

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t tap = i % depth / taps.channels;
    const int64_t at = taps.At(first + i / depth, tap);
    patches.Set(i, at < 0 ? 0 : x.Get(at + i % taps.channels));
  }
};

// An output of a convolution in groups, with few channels each: no product is worth it.
struct GroupedConvElement {
  Taps taps;
  Numbers x, weight, bias, residual, out;           // weight [O, KH * KW, I/groups]
  int64_t count, outputs, inputs, outputs_a_group;  // KH * KW, O, I/groups, O/groups
  Activation activation;

  GroupedConvElement(const Conv2dArgs& args, ConstView kernel)
      : taps(args),
        x(args.x),
        weight(kernel),
        bias(args.bias),
        residual(args.residual),
        out(args.out),
        count(args.kernel->shape()[2] * args.kernel->shape()[3]),
        outputs(args.kernel->shape()[0]),
        inputs(args.kernel->shape()[1]),
        outputs_a_group(outputs / args.kernel->conv().groups),
        activation(args.activation) {}

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t o = i % outputs;
    const int64_t first_channel = o / outputs_a_group * inputs;
    float sum = bias.GetOr(o, 0);
    for (int64_t tap = 0; tap < count; ++tap) {
      const int64_t at = taps.At(i / outputs, tap);
      if (at < 0) continue;
      for (int64_t c = 0; c < inputs; ++c) {
        sum += x.Get(at + first_channel + c) * weight.Get((o * count + tap) * inputs + c);
      }
    }
    out.Set(i, Activated(activation, sum) + residual.GetOr(i, 0));
  }
};

}  // namespace gesso::cuda
