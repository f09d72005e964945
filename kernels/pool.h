// Reductions over tokens.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// out[b] = mean of x[b, t] over the tokens t with mask[b, t] != 0; zeros where there is none.
struct MaskedMeanArgs {
  ConstView x;     // [B, T, D] f32 contiguous
  ConstView mask;  // [B, T] i32 contiguous
  View out;        // [B, D] f32 contiguous
};
void MaskedMean(Context& ctx, const MaskedMeanArgs& args);

const OpTable<MaskedMeanArgs>& MaskedMeanTable();

}  // namespace gesso
