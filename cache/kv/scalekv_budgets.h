// How many keys each layer may keep under ScaleKV: drafters, which look at much of the history,
// get more of a fixed sum than refiners, which look at their own scale.
//
// Li et al. 2025, "Memory-Efficient Visual Autoregressive Modeling with Scale-Aware KV Cache
// Compression", section 3.2. Official: StargazerX0/ScaleKV budgets/*.json.
#pragma once

#include <span>
#include <vector>

#include "models/hooks.h"

namespace gesso::cache {

struct ScaleKvBudgets {
  int64_t base_capacity = 650;  // nothing is dropped before a cache is longer than this
  // [scale][layer]: keys kept after that scale, for the next one; a scale without a row keeps all.
  std::vector<std::vector<int64_t>> capacity;
};

// The published 10 % budgets where there are any (the square schedule of 13 maps with 32 or 40
// layers). Otherwise their rule: a layer's mean is 650 / 6425 of the history before the last map,
// but 64 or more (which is ours);
// the first layers, one in sixteen of them and never fewer than one, are drafters; refiners keep
// 200 / 650 of the mean or more; and from scale to scale drafters take the largest whole number
// that leaves whole numbers to the refiners, does not exceed what they hold, and keeps the sum.
ScaleKvBudgets DefaultScaleKvBudgets(std::span<const TokenMap> schedule, int64_t layers);

}  // namespace gesso::cache
