// From picture to tokens and back: space-to-depth, rows of an embedding table, parts of the tokens.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// out[b, y, x, (dy * block_w + dx) * C + c] = x[b, y * block_h + dy, x * block_w + dx, c].
// Inverse = the same with `inverse`, in and out exchanged. A view of a [B, C, H, W] picture
// permuted to [B, H, W, C] makes this the patching of a picture.
struct SpaceDepthArgs {
  // [B, H, W, C], or [B, H/block_h, W/block_w, block_h*block_w*C] if inverse; strides free
  ConstView x;
  int64_t block_h = 2;
  int64_t block_w = 2;
  bool inverse = false;
  View out;  // the other of the two; f32 or bf16, strides free
};
void SpaceDepth(Context& ctx, const SpaceDepthArgs& args);

// out[i, :] = table[ids[i], :]. Throws kShape for an id outside the table.
struct GatherRowsArgs {
  ConstView table;  // [V, D] f32 or bf16 contiguous
  ConstView ids;    // [...] i32 contiguous, in host memory
  View out;         // [..., D] f32 contiguous
};
void GatherRows(Context& ctx, const GatherRowsArgs& args);

// A part of each picture's tokens, in their own order or put back in place:
// out[b, k, :] = x[b, ids[b, k], :], or, inverse, out[b, ids[b, k], :] = x[b, k, :] and the other
// tokens of out stay. Throws kShape for ids outside 0..N-1.
struct SelectTokensArgs {
  ConstView x;    // [B, N, C], or [B, K, C] if inverse; f32 contiguous
  ConstView ids;  // [B, K] i32 contiguous, no id twice in a row
  bool inverse = false;
  View out;  // the other of the two; f32 contiguous
};
void SelectTokens(Context& ctx, const SelectTokensArgs& args);

const OpTable<SelectTokensArgs>& SelectTokensTable();
const OpTable<SpaceDepthArgs>& SpaceDepthTable();
const OpTable<GatherRowsArgs>& GatherRowsTable();

}  // namespace gesso
