// From what a network computes to a denoiser D(x, sigma).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "samplers/denoiser.h"

namespace gesso {

// A network F: x [B, C, H, W] f32 scaled to unit variance, sigmas [B] on the host, out as x.
using Network =
    std::function<void(Context& ctx, ConstView x, std::span<const double> sigmas, View out)>;

// D(x, sigma) = c_skip x + c_out F(c_in x, sigma) with the coefficients of Karras et al. 2022
// ("Elucidating the design space of diffusion-based generative models", table 1, EDM).
// Official source crowsonkb/k-diffusion k_diffusion/layers.py:Denoiser.
class KarrasDenoiser : public Denoiser {
 public:
  KarrasDenoiser(Network network, double sigma_data);

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;
  // A noise level for each picture: sigmas [B], all > 0.
  void Denoise(Context& ctx, ConstView x, std::span<const double> sigmas, View denoised);

 private:
  Network network_;
  double sigma_data_;
  std::vector<double> sigmas_;  // the same level for every picture of the batch; kept for its space
};

// A network that predicts the noise of a variance-preserving process: D(x, sigma) = x -
// sigma F(x / sqrt(1 + sigma^2), sigma). Ho et al. 2020, "Denoising diffusion probabilistic
// models".
class EpsDenoiser : public Denoiser {
 public:
  explicit EpsDenoiser(Network network) : network_(std::move(network)) {}

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  Network network_;
  std::vector<double> sigmas_;  // kept for its space
};

}  // namespace gesso
