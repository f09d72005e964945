// The exact denoiser of data that follow a mixture of Gaussians, in double: a model without a
// network, by which samplers are checked.
#pragma once

#include <vector>

#include "samplers/denoiser.h"

namespace gesso {

// Data: sum_k weights[k] N(means[k], stds[k]^2 I). With v_k = stds[k]^2 + sigma^2,
// D(x, sigma) = sum_k r_k (stds[k]^2 x + sigma^2 means[k]) / v_k, where r is the softmax over k of
// log weights[k] - (d / 2) log v_k - |x - means[k]|^2 / (2 v_k), d numbers a picture.
class MixtureDenoiser : public Denoiser {
 public:
  // means [K, ...] f32, stds [K] f32 > 0, weights [K] f32 > 0. Throws kShape where they do not fit.
  MixtureDenoiser(const Tensor& means, const Tensor& stds, const Tensor& weights);

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  void DenoisePicture(const float* x, double sigma, float* denoised) const;
  // The share r_k of each component in a picture.
  std::vector<double> Shares(const float* x, double sigma) const;

  Tensor means_;
  Tensor stds_;
  Tensor weights_;
};

}  // namespace gesso
