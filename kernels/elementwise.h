// Chains of elementwise work over whole tensors, in one pass over memory.
#pragma once

#include <limits>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

struct Term {
  float coefficient;
  ConstView x;  // shape of out, f32, contiguous
};

// out = clamp(sum_i coefficient_i * x_i, low, high). Samplers, guidance and skip connections are
// made of this. `out` may be one of the x_i. At most 8 terms.
struct LinearCombinationArgs {
  std::span<const Term> terms;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  View out;  // any shape, f32, contiguous
};
void LinearCombination(Context& ctx, const LinearCombinationArgs& args);

// out = residual + gate * x: a residual branch with a learned gate a channel, one row of gates a
// picture (adaLN-Zero, Peebles & Xie 2023, "Scalable diffusion models with transformers").
struct GatedAddArgs {
  ConstView residual;  // [B, R, D] f32 contiguous, or empty = 0
  ConstView x;         // [B, R, D] f32 contiguous
  ConstView gate;      // [D] or [B, D] f32, row stride free
  View out;            // [B, R, D] f32 contiguous; may be `residual` or `x`
};
void GatedAdd(Context& ctx, const GatedAddArgs& args);

const OpTable<LinearCombinationArgs>& LinearCombinationTable();
const OpTable<GatedAddArgs>& GatedAddTable();

}  // namespace gesso
