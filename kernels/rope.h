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
// Head h has scale and angles h % S: queries and keys of S heads that lie side by side are turned
// together, as H = 2 S heads.
struct RopeArgs {
  View x;           // [B, T, H, D] f32 or bf16; last dimension contiguous, other strides free
  ConstView scale;  // [S] f32, or empty; S divides H
  float eps = 1e-6f;
  ConstView cos;  // [T, S, R] f32, or empty
  ConstView sin;  // [T, S, R] f32, or empty
};
// S
inline int64_t DistinctHeads(const RopeArgs& args) {
  if (!args.cos.empty()) return args.cos.shape[1];
  return args.scale.empty() ? args.x.shape[2] : args.scale.shape[0];
}
void Rope(Context& ctx, const RopeArgs& args);

const OpTable<RopeArgs>& RopeTable();

}  // namespace gesso
