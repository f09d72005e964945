// Vector quantisation: the nearest entry of a codebook for every vector. Always in float32, since
// tokens are decided here.
//
// Van den Oord et al. 2017, "Neural Discrete Representation Learning". Official:
// FoundationVision/VAR models/quant.py:VectorQuantizer2.
#pragma once

#include "kernels/gemm.h"

namespace gesso {

// A codebook [V, D] packed for the search. Const after packing.
struct PackedCodebook {
  PackedMatrix codes;  // [V, D] f32
  Tensor bias;         // [V] f32: -|code|^2 / 2
};

// Packs `codebook` [V, D] f32, contiguous, V and D > 0.
PackedCodebook PackCodebook(Device device, ConstView codebook);

// tokens[r] = argmin_v |z[r] - code[v]|^2 = argmax_v z[r].code[v] - |code[v]|^2 / 2, the lowest
// index where several are nearest.
struct NearestCodeArgs {
  ConstView z;  // [R, D] f32 contiguous
  const PackedCodebook* codebook;
  View tokens;  // [R] i32 contiguous
};
void NearestCode(Context& ctx, const NearestCodeArgs& args);

const OpTable<NearestCodeArgs>& NearestCodeTable();

}  // namespace gesso
