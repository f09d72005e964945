// One element of the ops that move tokens.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/token.h"

namespace gesso::cuda {

// i counts the elements of the wide side [B, H, W, C]; the deep side is [B, H/bh, W/bw, bh*bw*C].
struct SpaceDepthElement {
  Numbers x, out;
  int64_t wide_strides[4], deep_strides[4];
  int64_t height, width, channels, block_h, block_w;
  bool inverse;

  explicit SpaceDepthElement(const SpaceDepthArgs& args)
      : x(args.x),
        out(args.out),
        block_h(args.block_h),
        block_w(args.block_w),
        inverse(args.inverse) {
    const ConstView wide = Wide(args);
    const ConstView deep = args.inverse ? args.x : ConstView(args.out);
    for (size_t axis = 0; axis < 4; ++axis) {
      wide_strides[axis] = wide.strides[axis];
      deep_strides[axis] = deep.strides[axis];
    }
    height = wide.shape[1];
    width = wide.shape[2];
    channels = wide.shape[3];
  }
  static ConstView Wide(const SpaceDepthArgs& args) {
    return args.inverse ? ConstView(args.out) : args.x;
  }

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t c = i % channels;
    const int64_t column = i / channels % width;
    const int64_t row = i / channels / width % height;
    const int64_t b = i / channels / width / height;
    const int64_t wide = b * wide_strides[0] + row * wide_strides[1] + column * wide_strides[2] +
                         c * wide_strides[3];
    const int64_t depth = (row % block_h * block_w + column % block_w) * channels + c;
    const int64_t deep = b * deep_strides[0] + row / block_h * deep_strides[1] +
                         column / block_w * deep_strides[2] + depth * deep_strides[3];
    if (inverse) {
      out.Set(wide, x.Get(deep));
    } else {
      out.Set(deep, x.Get(wide));
    }
  }
};

struct GatherRowsElement {
  Numbers table, out;
  const int32_t* ids;
  int64_t rows, width;

  explicit GatherRowsElement(const GatherRowsArgs& args)
      : table(args.table),
        out(args.out),
        ids(static_cast<const int32_t*>(args.ids.data)),
        rows(args.table.shape[0]),
        width(args.table.shape[1]) {}

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t row = ids[i / width];
    const bool exists = row >= 0 && row < rows;
    out.Set(i, exists ? table.Get(row * width + i % width) : kNoNumber);
  }
};

// i counts the elements of the chosen tokens [B, K, C].
struct SelectTokensElement {
  const float* x;
  float* out;
  const int32_t* ids;
  int64_t chosen, all, channels;  // K, N, C
  bool inverse;

  explicit SelectTokensElement(const SelectTokensArgs& args)
      : x(static_cast<const float*>(args.x.data)),
        out(static_cast<float*>(args.out.data)),
        ids(static_cast<const int32_t*>(args.ids.data)),
        chosen(args.ids.shape[1]),
        all(args.inverse ? args.out.shape[1] : args.x.shape[1]),
        channels(args.x.shape[2]),
        inverse(args.inverse) {}

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t token = i / channels;  // b * K + k
    const int64_t id = ids[token];
    const int64_t place = (token / chosen * all + id) * channels + i % channels;
    if (id < 0 || id >= all) {  // leaves out as it is, where out has no such token
      if (!inverse) out[i] = kNoNumber;
    } else if (inverse) {
      out[place] = x[i];
    } else {
      out[i] = x[place];
    }
  }
};

}  // namespace gesso::cuda
