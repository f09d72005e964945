// Pictures larger than a network was trained on: while there is much noise, what the network sees
// at its own size corrects the coarse part of what it sees at the large one.
// Paper: Hwang et al. 2024, "Upsample Guidance: Scale Up Diffusion Models without Training".
// Official source tyshiwo1/DiM-DiffusionMamba mamba_attn_diff/models/upsample_guidance.py:
// make_ufg_nnet.
#pragma once

#include <vector>

#include "samplers/denoiser.h"
#include "samplers/vp_process.h"

namespace gesso {

struct UpsampleGuidanceOptions {
  int64_t factor = 2;  // m: the large side in units of the small one
  double theta = 1;    // strength of the correction
  double share = 0.3;  // eta: corrected while t >= 1 - share; at most 0.9
};

// eps + theta U(eps_low / m - D(eps)): D the mean of m x m pixels, U their repetition, eps_low the
// noise that the network finds in D(x), whose level is lower, as the mean lessens noise.
class UpsampleGuidedDenoiser : public Denoiser {
 public:
  // `large` denoises pictures [B, C, H, W], `small` [B, C, H / m, W / m]: the same model, guidance
  // included. Keeps references to both. Throws kUsage for options out of range.
  UpsampleGuidedDenoiser(Denoiser& large, Denoiser& small, const DiscreteVp& process,
                         const UpsampleGuidanceOptions& options);

  // Throws kUsage where m does not divide H and W.
  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

  // The time at which clean pictures of the small size with noise on them look like the mean of
  // m x m pixels at time t. Official source get_tau.
  double SmallTimeAt(double t) const;

 private:
  Denoiser& large_;
  Denoiser& small_;
  DiscreteVp process_;
  UpsampleGuidanceOptions options_;
  std::vector<double> signal_to_noise_;  // the official table, from the noisy end
};

}  // namespace gesso
