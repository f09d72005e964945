// Choosing tokens from logits: the filters top-k and top-p, a draw by inverse CDF, and the Gumbel
// softmax that replaces a draw by a mixture. Tokens are decided in double, from float32 logits.
#pragma once

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// Each row of logits on its own:
//   1. top_k > 0: drops logits strictly below the top_k-th largest (ties with it stay; top_k
//      beyond V drops nothing)
//   2. top_p > 0: of the softmax of what is left, in ascending order (equal logits by index),
//      drops the head whose running sum, own share included, is <= 1 - top_p; the largest stays
//   3. token = the first index, in order of the vocabulary, at which the running sum of the softmax
//      of what is left exceeds the row's uniform number; the last one left if none does
// FoundationVision/VAR models/helpers.py:sample_with_top_k_top_p_, with a uniform number a token.
// Devices agree but for where a sum comes within rounding of 1 - top_p or of the uniform number.
// A row with NaN or without a finite maximum is kFormat on the CPU; a GPU, which the host does not
// wait for, gives it kNoToken.
struct SampleTokensArgs {
  View logits;  // [R, V] f32 contiguous, each row's largest finite; dropped ones become -infinity
  int64_t top_k = 0;
  double top_p = 0;
  std::span<const double> uniforms;  // [R] in [0, 1), on the host; free to change at once
  View tokens;                       // [R] i32 contiguous
};
constexpr int32_t kNoToken = -1;
void SampleTokens(Context& ctx, const SampleTokensArgs& args);

// weights = softmax((gain * logits + gumbel) / tau) a row, Jang et al. 2017, "Categorical
// reparameterization with Gumbel-softmax". Logits of -infinity get the weight 0.
struct GumbelSoftmaxArgs {
  ConstView logits;  // [R, V] f32 contiguous
  ConstView gumbel;  // [R, V] f32 contiguous: standard Gumbel noise
  float gain = 1;
  float tau = 1;  // > 0
  View weights;   // [R, V] f32 contiguous; may be `logits` or `gumbel`
};
void GumbelSoftmax(Context& ctx, const GumbelSoftmaxArgs& args);

const OpTable<SampleTokensArgs>& SampleTokensTable();
const OpTable<GumbelSoftmaxArgs>& GumbelSoftmaxTable();

}  // namespace gesso
