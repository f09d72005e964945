// Finds ScaleKV's drafters and refiners from attention that was recorded while pictures were made:
// the step before the budgets of cache/kv/scalekv_budgets.h, which are the published outcome.
//
// Li et al. 2025, "Memory-Efficient Visual Autoregressive Modeling with Scale-Aware KV Cache
// Compression", equations 2-4; there is no official code of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"

namespace gesso::cache {

// The attention selectivity index of one layer at one scale: the mass that lies on the current map,
// times the sum of the `top_k` largest values on the history, each a mean over heads and queries.
// attention [H, Q, K] f32 contiguous, each row of sum 1; the last Q keys are the current map's.
// Throws kFormat where it is not finite.
double AttentionSelectivity(ConstView attention, int64_t top_k);

struct ScaleKvRoleOptions {
  int64_t num_drafters = 1;   // pairs of a layer and a scale
  double uniform_budget = 1;  // keys a layer, mean
  double refiner_budget0 =
      1;  // refiners keep refiner_budget0 - refiner_decay * k at the k-th scale
  double refiner_decay = 0;
};

// L layers, S scales that have a history (k = 1, 2, ...); matrices are row-major [L, S].
struct ScaleKvRoles {
  std::vector<double> z;               // [L, S]: index, standardised over the layers of a scale
  std::vector<uint8_t> is_drafter;     // [L, S]: 1 for the num_drafters lowest z
  std::vector<double> refiner_budget;  // [S]
  std::vector<double> drafter_budget;  // [S]: what the sum leaves them; 0 where there is none
};

// selectivity [L, S]. Throws kUsage for options that do not fit it.
ScaleKvRoles FindScaleKvRoles(std::span<const double> selectivity, int64_t layers,
                              const ScaleKvRoleOptions& options);

}  // namespace gesso::cache
