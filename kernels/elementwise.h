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

const OpTable<LinearCombinationArgs>& LinearCombinationTable();

}  // namespace gesso
