// The recomputations behind the table of `gesso verify`: one function a system or family, each in
// the file named after it.
#pragma once

#include "pipelines/verify/case.h"

namespace gesso {

void VerifyNeighborhoodAttention(Context& ctx, ParityCase& parity_case);  // ops.cpp
void VerifyHdit(Context& ctx, ParityCase& parity_case);                   // hdit.cpp
void VerifyT5Encoder(Context& ctx, ParityCase& parity_case);              // t5_encoder.cpp
void VerifyVqvae(Context& ctx, ParityCase& parity_case);                  // vqvae.cpp
void VerifyMultiscaleVq(Context& ctx, ParityCase& parity_case);           // vqvae.cpp
void VerifyBsqVae(Context& ctx, ParityCase& parity_case);                 // bsq_vae.cpp
void VerifySelectiveScan(Context& ctx, ParityCase& parity_case);          // state_space.cpp
void VerifyCausalConv1d(Context& ctx, ParityCase& parity_case);           // state_space.cpp
void VerifySsd(Context& ctx, ParityCase& parity_case);                    // state_space.cpp
void VerifyMambaBlock(Context& ctx, ParityCase& parity_case);             // state_space.cpp
void VerifyMamba2Block(Context& ctx, ParityCase& parity_case);            // state_space.cpp
void VerifyBidim(Context& ctx, ParityCase& parity_case);                  // bidim.cpp
void VerifyDim(Context& ctx, ParityCase& parity_case);                    // dim.cpp
void VerifyDimSample(Context& ctx, ParityCase& parity_case);              // dim_sample.cpp
void VerifyVar(Context& ctx, ParityCase& parity_case);                    // var.cpp
void VerifyFastVar(Context& ctx, ParityCase& parity_case);                // fastvar.cpp
void VerifyFastVarInfinityBlock(Context& ctx, ParityCase& parity_case);   // fastvar.cpp
void VerifyCachedTokenPruning(Context& ctx, ParityCase& parity_case);     // fastvar.cpp
void VerifySampleTopKTopP(Context& ctx, ParityCase& parity_case);         // ops.cpp
void VerifySampler(Context& ctx, ParityCase& parity_case);                // samplers.cpp
void VerifySchedule(Context& ctx, ParityCase& parity_case);               // schedules.cpp
void VerifySpeculativeJacobi(Context& ctx, ParityCase& parity_case);      // sjd.cpp
void VerifyInfinity(Context& ctx, ParityCase& parity_case);               // infinity.cpp
void VerifyInfinitySampling(Context& ctx, ParityCase& parity_case);       // infinity.cpp
void VerifyScaleKv(Context& ctx, ParityCase& parity_case);                // scalekv.cpp
void VerifyScaleKvRoles(Context& ctx, ParityCase& parity_case);           // scalekv.cpp
void VerifyCosineInterpolated(Context& ctx, ParityCase& parity_case);     // schedules.cpp

}  // namespace gesso
