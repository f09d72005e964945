// Softmax attention: over all keys, over the windows of a token grid, over each token's
// neighborhood. Only ref, and on a GPU what attends with wide heads, store a matrix of scores.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"
#include "kernels/factors.h"

namespace gesso {

// out[b, i, h] = sum_j softmax_j(scale * q[b, i, h].k[b, j, h] + bias[h, i, j]) v[b, j, h]
// Keys j with key_mask[b, j] == 0 take no part; a picture whose keys are all masked gives zeros.
struct AttentionArgs {
  ConstView q;         // [B, Tq, H, D] f32 or bf16; last dimension contiguous, other strides free
  ConstView k;         // [B, Tk, H, D] like q
  ConstView v;         // [B, Tk, H, D] like q
  ConstView bias;      // [H, Tq, Tk] f32 contiguous, or empty
  ConstView key_mask;  // [B, Tk] i32 contiguous, or empty
  float scale = 1;
  View out;                           // [B, Tq, H, D] dtype of q, contiguous
  Factors factors = Factors::kWhole;  // of float32; kSplit counts as kWhole
};
void Attention(Context& ctx, const AttentionArgs& args);

// Each token of a grid attends to the tokens of its own window: (y + shift) / window and
// (x + shift) / window agree, without wrap-around (k-diffusion's shifted windows, which roll and
// mask; the cut windows at the border are smaller). Hassani & Liu: Swin, with roll reversed.
struct WindowAttentionArgs {
  ConstView q;  // [B, Y, X, H, D] f32 or bf16; last dimension contiguous, other strides free
  ConstView k;  // like q
  ConstView v;  // like q
  int64_t window = 8;
  int64_t shift = 0;  // 0 <= shift < window
  float scale = 1;
  View out;                           // [B, Y, X, H, D] dtype of q, contiguous
  Factors factors = Factors::kWhole;  // of float32; kSplit counts as kWhole
};
void WindowAttention(Context& ctx, const WindowAttentionArgs& args);

// Query (y, x) attends to the kernel_size x kernel_size block of keys whose first row is
// clamp(y - kernel_size / 2, 0, Y - kernel_size), columns alike: the block is moved inwards at the
// border, never cut (Hassani et al. 2023, Neighborhood Attention Transformer).
struct NeighborhoodAttentionArgs {
  ConstView q;  // [B, Y, X, H, D] f32 or bf16; last dimension contiguous, other strides free
  ConstView k;  // like q
  ConstView v;  // like q
  int64_t kernel_size = 7;  // odd, <= Y and <= X
  float scale = 1;
  View out;                           // [B, Y, X, H, D] dtype of q, contiguous
  Factors factors = Factors::kWhole;  // of float32; kSplit counts as kWhole
};
void NeighborhoodAttention(Context& ctx, const NeighborhoodAttentionArgs& args);

const OpTable<AttentionArgs>& AttentionTable();
const OpTable<WindowAttentionArgs>& WindowAttentionTable();
const OpTable<NeighborhoodAttentionArgs>& NeighborhoodAttentionTable();

}  // namespace gesso
