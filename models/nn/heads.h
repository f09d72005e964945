// Attention heads as views: no element moves.
#pragma once

#include "kernels/core/tensor.h"

namespace gesso::nn {

// x [..., C] with contiguous last dimension, seen as [..., heads, C / heads].
template <bool kConst>
BasicView<kConst> SplitHeads(BasicView<kConst> x, int64_t heads) {
  const int last = x.shape.rank() - 1;
  const int64_t d_head = x.shape[last] / heads;
  CHECK(d_head * heads == x.shape[last]);
  std::array<int64_t, Shape::kMaxRank> dims{};
  std::copy_n(x.shape.dims().begin(), last, dims.begin());
  dims[static_cast<size_t>(last)] = heads;
  dims[static_cast<size_t>(last) + 1] = d_head;
  BasicView<kConst> split = x;
  split.shape = Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(last) + 2));
  split.strides[static_cast<size_t>(last)] = d_head;
  split.strides[static_cast<size_t>(last) + 1] = 1;
  return split;
}

}  // namespace gesso::nn
