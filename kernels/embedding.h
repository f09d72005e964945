// Features of scalars: what a network is told of a noise level or an augmentation.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// out[b] = [cos(2 pi weight u[b]), sin(2 pi weight u[b])], Tancik et al. 2020, "Fourier Features
// Let Networks Learn High Frequency Functions". Cosines first (k-diffusion).
struct FourierFeaturesArgs {
  ConstView u;       // [B, N] f32 contiguous
  ConstView weight;  // [F, N] f32 contiguous
  View out;          // [B, 2F] f32 contiguous
};
void FourierFeatures(Context& ctx, const FourierFeaturesArgs& args);

const OpTable<FourierFeaturesArgs>& FourierFeaturesTable();

}  // namespace gesso
