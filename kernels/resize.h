// Pictures and maps of another size: the interpolations of PyTorch that next-scale models use.
//
// Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing". Official:
// pytorch/pytorch torch/nn/functional.py:interpolate.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// How output index i of `out` reads an axis of `in` elements. None of them widens its window when
// a picture shrinks (no antialias), kArea excepted.
enum class Resampling {
  kNearest,   // x[floor(i in / out)]
  kArea,      // mean of x[floor(i in / out)] .. x[ceil((i + 1) in / out) - 1]: adaptive average
  kBilinear,  // at (i + 0.5) in / out - 0.5, not below 0 (align_corners = false), border clamped
  kBicubic,   // there too, Keys' kernel with a = -0.75 over four elements, border indices clamped
};

// out[b, :, :, c] = x[b, :, :, c] at out's height and width, each axis on its own.
struct ResizeArgs {
  ConstView x;  // [B, H, W, C] f32 or bf16, contiguous, H and W > 0
  Resampling resampling = Resampling::kNearest;
  View out;  // [B, H', W', C] f32 or bf16, contiguous; not x
};
void Resize(Context& ctx, const ResizeArgs& args);

const OpTable<ResizeArgs>& ResizeTable();

}  // namespace gesso
