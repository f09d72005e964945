// Chains of elementwise work over whole tensors, in one pass over memory.
#pragma once

#include <limits>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"
#include "kernels/core/rng.h"

namespace gesso {

struct Term {
  float coefficient;
  ConstView x;     // shape of out, f32, contiguous
  float also = 0;  // the coefficient in a second sum
};

// Normal noise that is drawn as it is added: element i of picture b is the sum over t of weight_t
// times number i of stream (seeds_b, stream_t). Devices agree in all random bits; their logarithms
// and cosines may differ in a number's last place.
struct NoiseTerm {
  float coefficient = 0;
  std::span<const uint64_t> seeds = {};      // [B] of out [B, ...]; empty: no noise
  std::span<const NormalTerm> streams = {};  // 1 to 64
};
constexpr size_t kMostNormalTerms = 64;

// out = clamp(sum_i coefficient_i * x_i + noise, low, high). Samplers, guidance and skip
// connections are made of this. `out` may be one of the x_i. At most 8 terms, and one at least of
// terms and noise.
struct LinearCombinationArgs {
  std::span<const Term> terms;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  View out;  // any shape, f32, contiguous
  NoiseTerm noise = {};
  View also =
      {};  // like out, optional: sum_i also_i * x_i, of the same pass; may be one of the x_i
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
