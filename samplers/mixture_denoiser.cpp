#include "samplers/mixture_denoiser.h"

#include <algorithm>
#include <cmath>

namespace gesso {

MixtureDenoiser::MixtureDenoiser(const Tensor& means, const Tensor& stds, const Tensor& weights)
    : means_(means), stds_(stds), weights_(weights) {
  const int64_t components = means.shape().rank() >= 2 ? means.shape()[0] : 0;
  Require(components > 0 && stds.shape() == Shape{components} && weights.shape() == stds.shape(),
          ErrorKind::kShape, "no mixture: means {}, stds {}, weights {}", means.shape().ToString(),
          stds.shape().ToString(), weights.shape().ToString());
}

void MixtureDenoiser::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  const int64_t size = means_.shape().numel() / means_.shape()[0];
  Require(x.numel() == x.shape[0] * size && denoised.shape == x.shape, ErrorKind::kShape,
          "mixture of pictures of {} numbers: x {}, denoised {}", size, x.shape.ToString(),
          denoised.shape.ToString());
  if (ctx.device == Device::kMeta) return;
  for (int64_t b = 0; b < x.shape[0]; ++b) {
    DenoisePicture(x.Data<float>() + b * size, sigma, denoised.Data<float>() + b * size);
  }
}

std::vector<double> MixtureDenoiser::Shares(const float* x, double sigma) const {
  const auto components = static_cast<size_t>(means_.shape()[0]);
  const int64_t size = means_.shape().numel() / means_.shape()[0];
  std::vector<double> shares(components);
  for (size_t k = 0; k < components; ++k) {
    const double std = stds_.Data<float>()[k];
    const double variance = std * std + sigma * sigma;
    const float* mean = means_.Data<float>() + static_cast<int64_t>(k) * size;
    double distance = 0;
    for (int64_t i = 0; i < size; ++i) {
      const double difference = static_cast<double>(x[i]) - static_cast<double>(mean[i]);
      distance += difference * difference;
    }
    shares[k] = std::log(static_cast<double>(weights_.Data<float>()[k])) -
                static_cast<double>(size) / 2 * std::log(variance) - distance / (2 * variance);
  }
  const double highest = *std::ranges::max_element(shares);
  double total = 0;
  for (double& share : shares) total += share = std::exp(share - highest);
  for (double& share : shares) share /= total;
  return shares;
}

void MixtureDenoiser::DenoisePicture(const float* x, double sigma, float* denoised) const {
  const int64_t size = means_.shape().numel() / means_.shape()[0];
  const std::vector<double> shares = Shares(x, sigma);
  for (int64_t i = 0; i < size; ++i) {
    double sum = 0;
    for (size_t k = 0; k < shares.size(); ++k) {
      const double variance = std::pow(static_cast<double>(stds_.Data<float>()[k]), 2);
      const double mean = means_.Data<float>()[static_cast<int64_t>(k) * size + i];
      sum += shares[k] * (variance * static_cast<double>(x[i]) + sigma * sigma * mean) /
             (variance + sigma * sigma);
    }
    denoised[i] = static_cast<float>(sum);
  }
}

}  // namespace gesso
