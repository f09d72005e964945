// A denoiser that holds pixels in place, around another one.
#pragma once

#include <functional>

#include "samplers/denoiser.h"

namespace gesso {

// Where the amount of a pixel is below a threshold, the estimate is what is known of it. A sampler
// that starts from known + sigma noise then keeps to known + sigma noise there at every level,
// whatever its order and however it adds noise, so that the others are painted to fit: in-painting
// by replacement (Song et al. 2021, "Score-based generative modeling through stochastic
// differential equations", section 5) as a property of the denoiser.
class HeldPixels : public Denoiser {
 public:
  using Threshold = std::function<double(double sigma)>;

  // known [1, C, H, W] and amount [H, W], f32 contiguous, must stay. Keeps a reference to `inner`.
  HeldPixels(Denoiser& inner, ConstView known, ConstView amount, Threshold threshold)
      : inner_(inner), known_(known), amount_(amount), threshold_(std::move(threshold)) {}

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  Denoiser& inner_;
  ConstView known_;
  ConstView amount_;
  Threshold threshold_;
};

}  // namespace gesso
