// One element of what convolutions are made of.
#pragma once

#include "kernels/conv.h"
#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/vectors.cuh"

namespace gesso::cuda {

// Where the taps of an output pixel lie in x [B, H, W, I].
struct Taps {
  int64_t height, width;  // of x
  Divisor channels, out_height, out_width, kernel_width;
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

  // Of an output pixel: the picture, and the row and column of x that its first tap meets.
  struct Corner {
    int64_t b, row, column;
  };
  GESSO_BOTH Corner CornerOf(int64_t pixel) const {
    const int64_t line = pixel / out_width;
    const int64_t b = line / out_height;
    return {b, (line - b * out_height) * stride - padding,
            (pixel - line * out_width) * stride - padding};
  }
  // The first channel of tap `tap`, or -1 where that is beyond x.
  GESSO_BOTH int64_t At(const Corner& corner, int64_t tap) const {
    const int64_t line = tap / kernel_width;
    const int64_t row = corner.row + line * dilation;
    const int64_t column = corner.column + (tap - line * kernel_width) * dilation;
    if (row < 0 || row >= height || column < 0 || column >= width) return -1;
    return ((corner.b * height + row) * width + column) * channels;
  }
};

// patches [pixels, KH * KW * I] of the output pixels from `first` on, so that a product with the
// kernel [O, KH * KW * I] convolves.
struct PatchElement {
  static constexpr int kNumbers = kVector;
  Taps taps;
  Numbers x, patches;
  int64_t first = 0;
  Divisor depth;  // KH * KW * I

  explicit PatchElement(const Conv2dArgs& args)
      : taps(args),
        x(args.x),
        depth(args.kernel->shape()[1] * args.kernel->shape()[2] * args.kernel->shape()[3]) {}

  bool TakesVectors() const {
    return taps.channels % kNumbers == 0 && HasVectors(x) && HasVectors(patches);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t pixel = i / depth;
    const int64_t place = i - pixel * depth;
    const int64_t tap = place / taps.channels;
    const int64_t at = taps.At(taps.CornerOf(first + pixel), tap);
    const int64_t from = at + (place - tap * taps.channels);
    SetSeveral(patches, i, at < 0 ? AllOf<kCount>(0) : GetSeveral<kCount>(x, from));
  }
};

// An output of a convolution in groups, with few channels each: no product is worth it.
struct GroupedConvElement {
  Taps taps;
  Numbers x, weight, bias, residual, out;  // weight [O, KH * KW, I/groups]
  int64_t count, inputs;                   // KH * KW, I/groups
  Divisor outputs, outputs_a_group;        // O, O/groups
  Activation activation;

  GroupedConvElement(const Conv2dArgs& args, ConstView kernel)
      : taps(args),
        x(args.x),
        weight(kernel),
        bias(args.bias),
        residual(args.residual),
        out(args.out),
        count(args.kernel->shape()[2] * args.kernel->shape()[3]),
        inputs(args.kernel->shape()[1]),
        outputs(args.kernel->shape()[0]),
        outputs_a_group(outputs / args.kernel->conv().groups),
        activation(args.activation) {}

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t pixel = i / outputs;
    const int64_t o = i - pixel * outputs;
    const auto corner = taps.CornerOf(pixel);
    const int64_t first_channel = o / outputs_a_group * inputs;
    float sum = bias.GetOr(o, 0);
    for (int64_t tap = 0; tap < count; ++tap) {
      const int64_t at = taps.At(corner, tap);
      if (at < 0) continue;
      for (int64_t c = 0; c < inputs; ++c) {
        sum += x.Get(at + first_channel + c) * weight.Get((o * count + tap) * inputs + c);
      }
    }
    Finish<1>(i, {{sum}});
  }
  template <int kCount>
  GESSO_BOTH void Finish(int64_t i, Several<kCount> sum) const {
    const auto added = GetSeveralOr<kCount>(residual, i, 0);
    ActivateAll(activation, sum);
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) sum.at[k] += added.at[k];
    SetSeveral(out, i, sum);
  }
};

// A convolution in as many groups as channels: kVector of them at kPixels pixels of a row, so that
// weights are read once for all of these. i counts runs of pixels, vectors of channels first.
struct DepthwiseConvVectors {
  static constexpr int kPixels = 4;
  GroupedConvElement conv;
  Numbers weight;         // [KH * KW, O]
  Divisor vectors, runs;  // of a pixel; of a row
  int64_t rows;           // B * H'

  // With the kernel's taps first; empty: of another convolution.
  DepthwiseConvVectors(const Conv2dArgs& args, ConstView kernel, ConstView taps_first)
      : conv(args, kernel),
        weight(taps_first),
        vectors(args.out.shape[3] / kVector),
        runs((args.out.shape[2] + kPixels - 1) / kPixels),
        rows(args.out.shape[0] * args.out.shape[1]) {}

  bool TakesVectors() const {
    return !weight.absent() && conv.outputs % kVector == 0 && HasVectors(weight) &&
           HasVectors(conv.x) && HasVectors(conv.bias) && HasVectors(conv.residual) &&
           HasVectors(conv.out);
  }
  int64_t Count() const { return rows * runs * vectors; }

  // The type of x is a constant here: bfloat16 takes half the reads. What lies beyond x is read
  // somewhere else and left out, so that no read waits for another.
  template <bool kBf16>
  GESSO_BOTH void AddTaps(Taps::Corner corner, int64_t o, Vector (&sums)[kPixels]) const {
    Numbers from = conv.x;
    from.bf16 = kBf16;
    for (int64_t tap = 0; tap < conv.count; ++tap) {
      const Vector weights = GetSeveral<kVector>(weight, tap * conv.outputs + o);
      Vector x[kPixels];
      bool inside[kPixels];
      Taps::Corner moved = corner;
      GESSO_UNROLL for (int pixel = 0; pixel < kPixels; ++pixel) {
        const int64_t at = conv.taps.At(moved, tap);
        inside[pixel] = at >= 0;
        x[pixel] = GetSeveral<kVector>(from, (at < 0 ? 0 : at) + o);
        moved.column += conv.taps.stride;
      }
      GESSO_UNROLL for (int pixel = 0; pixel < kPixels; ++pixel) {
        if (!inside[pixel]) continue;
        GESSO_UNROLL for (int k = 0; k < kVector; ++k) {
          sums[pixel].at[k] += x[pixel].at[k] * weights.at[k];
        }
      }
    }
  }

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t run = i / vectors;
    const int64_t o = (i - run * vectors) * kVector;
    const int64_t row = run / runs;
    const int64_t first = row * conv.taps.out_width + (run - row * runs) * kPixels;
    const int64_t end = (row + 1) * conv.taps.out_width;
    const auto corner = conv.taps.CornerOf(first);
    Vector sums[kPixels];
    const Vector bias = GetSeveralOr<kVector>(conv.bias, o, 0);
    GESSO_UNROLL for (Vector& sum : sums) sum = bias;
    if (conv.x.bf16) {
      AddTaps<true>(corner, o, sums);
    } else {
      AddTaps<false>(corner, o, sums);
    }
    GESSO_UNROLL for (int pixel = 0; pixel < kPixels; ++pixel) {
      if (first + pixel < end) conv.Finish((first + pixel) * conv.outputs + o, sums[pixel]);
    }
  }
};

// Calls launch(count, body) for all outputs of a convolution in groups: in vectors where that is
// possible.
template <class Launch>
void ConvolveInGroups(const Conv2dArgs& args, ConstView kernel, ConstView taps_first,
                      const Launch& launch) {
  const DepthwiseConvVectors body(args, kernel, taps_first);
  if (body.TakesVectors()) return launch(body.Count(), body);
  launch(args.out.numel(), body.conv);
}

}  // namespace gesso::cuda
