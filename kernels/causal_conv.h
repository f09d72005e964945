// Causal depthwise convolution over the tokens of a sequence: what a Mamba block does before its
// scan. Official: Dao-AILab/causal-conv1d
// causal_conv1d/causal_conv1d_interface.py:causal_conv1d_ref.
#pragma once

#include "kernels/activation.h"
#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// out_t = activation(bias + sum_k weight[k] x_{t - (W - 1) + k}): tap W-1 meets the current token.
// Tokens before the first come from the state, the last S >= W - 1 tokens of what went before,
// newest last. `reverse`: the sequence runs from its last token to its first.
struct CausalConv1dArgs {
  ConstView x;          // [B, L, D] f32 or bf16; rows contiguous
  ConstView weight;     // [D, W] f32 contiguous
  ConstView bias = {};  // [D] f32, or empty
  Activation activation = Activation::kNone;
  bool reverse = false;
  ConstView initial_state = {};  // [B, D, S] f32 contiguous, or empty: zeros
  View final_state = {};         // [B, D, S] f32 contiguous, or empty; may be initial_state
  View out;                      // [B, L, D] f32 or bf16 contiguous; not x
};
void CausalConv1d(Context& ctx, const CausalConv1dArgs& args);

const OpTable<CausalConv1dArgs>& CausalConv1dTable();

}  // namespace gesso
