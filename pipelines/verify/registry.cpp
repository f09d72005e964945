#include "pipelines/verify/systems.h"

namespace gesso {

const std::vector<VerifySystem>& VerifySystems() {
  static const std::vector<VerifySystem> systems = {
      // prefix, has bfloat16, recomputation
      {"op.neighborhood_attention", true, VerifyNeighborhoodAttention},
      {"hdit", true, VerifyHdit},
      {"t5_encoder", true, VerifyT5Encoder},
      {"op.multiscale_vq", true, VerifyMultiscaleVq},
      {"vqvae", true, VerifyVqvae},
      {"bsq_vae", true, VerifyBsqVae},
      {"sampler.", false, VerifySampler},
      {"schedule.cosine_interpolated", false, VerifyCosineInterpolated},
      {"schedule.", false, VerifySchedule},
  };
  return systems;
}

}  // namespace gesso
