// Two pictures that become one: overlapping tiles that fade into each other, and a picture of which
// a mask holds a part in place.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// out += weight * (x - out). The weight of row y is (y + 0.5) / rows for y < rows, else 1, that of
// a column likewise; a pixel's is their product. Where it is 1 x is copied, whatever out holds.
struct FadeInArgs {
  ConstView x;          // [B, C, H, W] f32, rows contiguous, other strides free
  int64_t rows = 0;     // that fade in from the top, <= H
  int64_t columns = 0;  // that fade in from the left, <= W
  View out;             // like x
};
void FadeIn(Context& ctx, const FadeInArgs& args);

// out[b, c, y, x] = known[c, y, x] where amount[y, x] < threshold; the rest stays as it is.
struct HoldArgs {
  ConstView known;   // [1, C, H, W] f32, contiguous
  ConstView amount;  // [H, W] f32, contiguous
  double threshold = 0;
  View out;  // [B, C, H, W] f32, contiguous
};
void Hold(Context& ctx, const HoldArgs& args);

const OpTable<FadeInArgs>& FadeInTable();
const OpTable<HoldArgs>& HoldTable();

}  // namespace gesso
