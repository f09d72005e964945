// Random numbers as an op: the noise that samplers add.
#pragma once

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"
#include "kernels/core/rng.h"

namespace gesso {

// out[i] = sum_t weight_t * number i of stream (seed, stream_t). At most 64 terms. Devices agree in
// all random bits; their logarithms and cosines may differ in a number's last place.
struct DrawNormalArgs {
  uint64_t seed = 0;
  std::span<const NormalTerm> terms;
  View out;  // any shape, f32, contiguous
};
constexpr size_t kMostNormalTerms = 64;
void DrawNormal(Context& ctx, const DrawNormalArgs& args);

const OpTable<DrawNormalArgs>& DrawNormalTable();

}  // namespace gesso
