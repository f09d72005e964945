// One element of the ops that move tokens.
#pragma once

#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/vectors.cuh"
#include "kernels/token.h"

namespace gesso::cuda {

// i counts the elements of the wide side [B, H, W, C]; the deep side is [B, H/bh, W/bw, bh*bw*C].
struct SpaceDepthElement {
  static constexpr int kNumbers = kVector;
  Numbers x, out;
  int64_t wide_strides[4], deep_strides[4];
  Divisor height, width, channels, block_h, block_w;
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

  // Channels lie in a row on both sides.
  bool TakesVectors() const {
    bool whole = channels % kNumbers == 0 && HasVectors(x) && HasVectors(out) &&
                 wide_strides[3] == 1 && deep_strides[3] == 1;
    for (int axis = 0; axis < 3; ++axis) {
      whole &= wide_strides[axis] % kNumbers == 0 && deep_strides[axis] % kNumbers == 0;
    }
    return whole;
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const auto [b, row, column, c] = GridPlace(i, height, width, channels);
    const int64_t wide = b * wide_strides[0] + row * wide_strides[1] + column * wide_strides[2] +
                         c * wide_strides[3];
    const int64_t block_row = row / block_h;
    const int64_t block_column = column / block_w;
    const int64_t place = (row - block_row * block_h) * block_w + column - block_column * block_w;
    const int64_t deep = b * deep_strides[0] + block_row * deep_strides[1] +
                         block_column * deep_strides[2] + (place * channels + c) * deep_strides[3];
    SetSeveral(out, inverse ? wide : deep, GetSeveral<kCount>(x, inverse ? deep : wide));
  }
};

struct GatherRowsElement {
  static constexpr int kNumbers = kVector;
  Numbers table, out;
  const int32_t* ids;
  int64_t rows;
  Divisor width;

  explicit GatherRowsElement(const GatherRowsArgs& args)
      : table(args.table),
        out(args.out),
        ids(static_cast<const int32_t*>(args.ids.data)),
        rows(args.table.shape[0]),
        width(args.table.shape[1]) {}

  bool TakesVectors() const {
    return width % kNumbers == 0 && HasVectors(table) && HasVectors(out);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t place = i / width;
    const int64_t row = ids[place];
    const bool exists = row >= 0 && row < rows;
    const int64_t from = row * width + (i - place * width);
    SetSeveral(out, i, exists ? GetSeveral<kCount>(table, from) : AllOf<kCount>(kNoNumber));
  }
};

// i counts the elements of the chosen tokens [B, K, C].
struct SelectTokensElement {
  static constexpr int kNumbers = 4;
  const float* x;
  float* out;
  const int32_t* ids;
  Divisor chosen, channels;  // K, C
  int64_t all;               // N
  bool inverse;

  explicit SelectTokensElement(const SelectTokensArgs& args)
      : x(static_cast<const float*>(args.x.data)),
        out(static_cast<float*>(args.out.data)),
        ids(static_cast<const int32_t*>(args.ids.data)),
        chosen(args.ids.shape[1]),
        channels(args.x.shape[2]),
        all(args.inverse ? args.out.shape[1] : args.x.shape[1]),
        inverse(args.inverse) {}

  bool TakesVectors() const { return channels % kNumbers == 0 && HasVectors(x) && HasVectors(out); }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t token = i / channels;  // b * K + k
    const int64_t id = ids[token];
    const int64_t place = (token / chosen * all + id) * channels + (i - token * channels);
    if (id < 0 || id >= all) {  // leaves out as it is, where out has no such token
      if (!inverse) SetSeveral(out, i, AllOf<kCount>(kNoNumber));
    } else if (inverse) {
      SetSeveral(out, place, GetSeveral<kCount>(x, i));
    } else {
      SetSeveral(out, i, GetSeveral<kCount>(x, place));
    }
  }
};

}  // namespace gesso::cuda
