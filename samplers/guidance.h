// Classifier-free guidance (Ho and Salimans 2022) as a wrapper around denoisers.
#pragma once

#include <limits>

#include "samplers/denoiser.h"

namespace gesso {

struct GuidanceOptions {
  double scale = 1;    // 1 is the conditional model alone
  double rescale = 0;  // phi of Lin et al. 2023, 0 .. 1: brings the contrast back to the
                       // conditional estimate's, picture by picture
  // Guided only where low < sigma <= high, conditional alone elsewhere, at half the cost
  // (Kynkaanniemi et al. 2024).
  double interval_low = 0;
  double interval_high = std::numeric_limits<double>::infinity();
};

// D = D_u + (D_c - D_u) * scale. `both` denoises batches of 2B pictures, the first B without and
// the last B with their condition, in one pass through the network; `conditional` denoises B
// pictures with it. They are the same model with its conditions bound differently, e.g.
//   KarrasDenoiser both(network of 2B conditions), conditional(network of B conditions);
//   GuidedDenoiser denoiser(both, conditional, {.scale = 4});
class GuidedDenoiser : public Denoiser {
 public:
  // Keeps references to both. Throws kUsage for options out of range.
  GuidedDenoiser(Denoiser& both, Denoiser& conditional, const GuidanceOptions& options);

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  bool IsGuidedAt(double sigma) const;

  Denoiser& both_;
  Denoiser& conditional_;
  GuidanceOptions options_;
};

}  // namespace gesso
