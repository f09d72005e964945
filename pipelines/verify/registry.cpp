#include "pipelines/verify/systems.h"

namespace gesso {

const std::vector<VerifySystem>& VerifySystems() {
  static const std::vector<VerifySystem> systems = {
      // prefix, has bfloat16, recomputation
      {"op.neighborhood_attention", true, VerifyNeighborhoodAttention},
      {"hdit", true, VerifyHdit},
      {"t5_encoder", true, VerifyT5Encoder},
      {"infinity", true, VerifyInfinity},
      {"infinity_sampling", false, VerifyInfinitySampling},
      {"scalekv", true, VerifyScaleKv},
      {"scalekv_asi", false, VerifyScaleKvRoles},
      {"sjd", false, VerifySpeculativeJacobi},
      {"op.multiscale_vq", true, VerifyMultiscaleVq},
      {"vqvae", true, VerifyVqvae},
      {"bsq_vae", true, VerifyBsqVae},
      {"op.selective_scan", true, VerifySelectiveScan},
      {"op.causal_conv1d", true, VerifyCausalConv1d},
      {"op.ssd", true, VerifySsd},
      {"mamba_block", true, VerifyMambaBlock},
      {"mamba2_block", true, VerifyMamba2Block},
      {"bidim", true, VerifyBidim},
      {"dim", true, VerifyDim},
      {"dim_sample", false, VerifyDimSample},
      {"op.sample_topk_topp", false, VerifySampleTopKTopP},
      {"op.cached_token_pruning", false, VerifyCachedTokenPruning},
      {"var", true, VerifyVar},
      {"mvar", true, VerifyVar},
      {"fastvar", true, VerifyFastVar},
      {"fastvar_infinity_block", true, VerifyFastVarInfinityBlock},
      {"sampler.", false, VerifySampler},
      {"schedule.cosine_interpolated", false, VerifyCosineInterpolated},
      {"schedule.", false, VerifySchedule},
  };
  return systems;
}

}  // namespace gesso
