// Queries, keys and values on their way from a projection to attention, in one pass over memory:
// cosine normalisation, rotary embedding, and the copy to where they are kept.
#pragma once

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// Of each head vector u = x[b, t, h, :]:
//   1. if normalize: u /= max(|u|, eps)              (torch.nn.functional.normalize)
//   2. if scale is given: u *= scale[h]
//   3. if rotate, for i < D / 2, with angles of row m = positions[b, t] (or t):
//      (u[2i], u[2i + 1]) = (u[2i] c - u[2i + 1] s, u[2i] s + u[2i + 1] c)   (RoPE, Su et al. 2021)
struct HeadPart {
  ConstView x;  // [B, T, H, D] f32 or bf16; last dimension contiguous, other strides free
  bool normalize = false;
  ConstView scale = {};  // [H] f32, or empty
  bool rotate = false;
  View out;  // [B, T, H, D] f32 or bf16, strides as for x; may be x
};
constexpr size_t kMostHeadParts = 3;  // queries, keys and values

struct PrepareHeadsArgs {
  std::span<const HeadPart> parts;  // 1 to 3 of one shape; none is written where another is read
  float eps = 1e-12f;
  ConstView cos = {};        // [M, D / 2] f32 contiguous, for parts that rotate
  ConstView sin = {};        // like cos
  ConstView positions = {};  // [B, T] i32 contiguous, rows of cos; empty: token t has row t
};
// Throws kShape for positions outside the table where the CPU reads them; a device makes NaN of
// their heads.
void PrepareHeads(Context& ctx, const PrepareHeadsArgs& args);
// out = x, of the shapes above.
inline void CopyHeads(Context& ctx, ConstView x, View out) {
  const HeadPart part{.x = x, .out = out};
  PrepareHeads(ctx, {.parts = {&part, 1}});
}

const OpTable<PrepareHeadsArgs>& PrepareHeadsTable();

}  // namespace gesso
