// Numbers of tokens in the layouts of state-space models.
#pragma once

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

// [B, L, ...] with contiguous rows.
struct TokenNumbers {
  Numbers values;
  int64_t picture = 0, token = 0, group = 0;  // strides

  TokenNumbers() = default;
  explicit TokenNumbers(ConstView view)
      : values(view),
        picture(view.strides[0]),
        token(view.strides[1]),
        group(view.shape.rank() == 4 ? view.strides[2] : 0) {}
  GESSO_BOTH int64_t Index(int64_t b, int64_t t, int64_t g, int64_t i) const {
    return b * picture + t * token + g * group + i;
  }
  GESSO_BOTH float At(int64_t b, int64_t t, int64_t g, int64_t i) const {
    return values.Get(Index(b, t, g, i));
  }
};

}  // namespace gesso::cuda
