// Normalisation over the last dimension with an optional per-picture modulation.
// Statistics are taken in float32 whatever the element type.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// out = x * rsqrt(mean(x^2) + eps) * (scale + scale_offset) + shift, Zhang & Sennrich 2019.
// AdaRMSNorm (k-diffusion): scale = linear(cond) of each picture, scale_offset = 1.
struct RmsNormArgs {
  ConstView x;      // [B, R, D] f32 or bf16, contiguous
  ConstView scale;  // [D] shared or [B, D] a picture (row stride free), f32; empty = 1
  float scale_offset = 0;
  float eps = 1e-6f;
  View out;              // [B, R, D] f32 or bf16, contiguous; may be x
  int64_t groups = 1;    // equal slices of D, each with a mean of its own
  ConstView shift = {};  // like scale; empty = 0
};
void RmsNorm(Context& ctx, const RmsNormArgs& args);

// out = (x - mean) * rsqrt(var + eps) * (scale + scale_offset) + shift, Ba et al. 2016.
// Affine LayerNorm: scale, shift [D]; adaLN (DiT): scale, shift [B, D], scale_offset = 1.
struct LayerNormArgs {
  ConstView x;      // [B, R, D] f32 or bf16, contiguous
  ConstView scale;  // [D] or [B, D] f32, row stride free; empty = 1
  ConstView shift;  // [D] or [B, D] f32, row stride free; empty = 0
  float scale_offset = 0;
  float eps = 1e-5f;
  View out;  // [B, R, D] f32 or bf16, contiguous; may be x
};
void LayerNorm(Context& ctx, const LayerNormArgs& args);

// Both ops begin with these: they throw where arguments do not fit each other.
void CheckArgs(const RmsNormArgs& args);
void CheckArgs(const LayerNormArgs& args);

const OpTable<RmsNormArgs>& RmsNormTable();
const OpTable<LayerNormArgs>& LayerNormTable();

}  // namespace gesso
