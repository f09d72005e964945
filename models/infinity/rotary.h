// The angles of Infinity's 2-D rotary embedding: half of a head's pairs turn with the row, half
// with the column, of a grid that all scales share.
//
// Heo et al. 2024, "Rotary Position Embedding for Vision Transformer" (axial frequencies).
// Official: FoundationVision/Infinity infinity/models/basic.py:precompute_rope2d_freqs_grid with
// rope2d_normalized_by_hw 2.
#pragma once

#include <span>

#include "models/hooks.h"

namespace gesso::infinity {

// For neighbouring channels as pairs: pair j turns by y * f(j) for j < head_dim / 4, by
// x * f(j - head_dim / 4) for the others, f(j) = 10000^(-4 j / head_dim).
struct Rotary {
  Tensor cos;  // [N, head_dim / 2] f32, tokens of all maps behind each other
  Tensor sin;  // like cos
};

// (y, x) of token (i, j) is (round(i * H / h), round(j * W / w)) on the grid `reference` H x W, to
// even where two are equally near. head_dim is a multiple of 4.
Rotary MakeRotary(std::span<const TokenMap> maps, const TokenMap& reference, int64_t head_dim);

}  // namespace gesso::infinity
