// Rotary position embedding, with the cosine-similarity scaling of queries and keys fused in.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// In place on each head vector u = x[b, t, h, :]:
//   1. if scale is given: u *= sqrt(scale[h]) * rsqrt(sum(u^2) + eps)      (k-diffusion
//   scale_for_cosine_sim)
//   2. if cos is given, for i < R: (u[i], u[i + R]) = (u[i] c - u[i + R] s, u[i + R] c + u[i] s)
// Channels from 2R on are not rotated (axial RoPE of HDiT: R = D / 4).
struct RopeArgs {
  View x;           // [B, T, H, D] f32 or bf16; last dimension contiguous, other strides free
  ConstView scale;  // [H] f32, or empty
  float eps = 1e-6f;
  ConstView cos;  // [T, H, R] f32, or empty
  ConstView sin;  // [T, H, R] f32, or empty
};
void Rope(Context& ctx, const RopeArgs& args);

const OpTable<RopeArgs>& RopeTable();

}  // namespace gesso
