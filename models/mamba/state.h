// What a Mamba block carries from one part of a sequence to the next.
#pragma once

#include <span>

#include "kernels/core/tensor.h"

namespace gesso::mamba {

struct State {
  Tensor conv;  // [B, channels, d_conv] f32: the last inputs of the convolution, newest last
  Tensor ssm;   // [B, inner, d_state] or [B, heads, head_dim, d_state] f32

  // Before the first token.
  void Reset();
  // Row i of the result is row rows[i] here; rows may repeat.
  State Fork(std::span<const int64_t> rows) const;
};

}  // namespace gesso::mamba
