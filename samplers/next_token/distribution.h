// Distributions over a vocabulary: what samplers of token sequences draw from and compare.
// Host memory, in double, since they decide tokens.
#pragma once

#include <cstdint>
#include <span>

namespace gesso {

// scores [V] -> probabilities [V] in place: softmax over the `top_k` highest (all if top_k is 0);
// scores equal to the lowest of them stay too.
void SoftmaxTopK(std::span<double> scores, int64_t top_k);

// The first index whose cumulative weight exceeds u times the sum of all; weights [V] >= 0 need not
// add up to one. -1 where all are zero.
int32_t DrawIndex(std::span<const double> weights, double u);

// The first index of the largest value.
int32_t ArgMax(std::span<const double> values);

}  // namespace gesso
