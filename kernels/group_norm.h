// Normalisation of a picture's channels in groups, with the activation that follows it.
// Statistics are taken in float32 whatever the element type.
//
// Wu & He 2018, "Group Normalization". Official: pytorch/pytorch torch/nn/functional.py:group_norm.
#pragma once

#include "kernels/activation.h"
#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// out = activation((x - mean) * rsqrt(var + eps) * scale + shift), mean and variance over all
// pixels of a picture and the C / groups channels of a group.
struct GroupNormArgs {
  ConstView x;          // [B, H, W, C] f32 or bf16, contiguous
  int64_t groups = 32;  // divides C
  ConstView scale;      // [C] f32 contiguous; empty = 1
  ConstView shift;      // [C] f32 contiguous; empty = 0
  float eps = 1e-6f;
  Activation activation = Activation::kNone;
  View out;  // [B, H, W, C] f32 or bf16, contiguous; may be x
};
void GroupNorm(Context& ctx, const GroupNormArgs& args);

const OpTable<GroupNormArgs>& GroupNormTable();

}  // namespace gesso
