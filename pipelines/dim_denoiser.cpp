#include "pipelines/dim_denoiser.h"

namespace gesso {

DimDenoiser::DimDenoiser(std::shared_ptr<const dim::Model> model, const Shape& pictures,
                         Tensor classes, TimeOfSigma time, std::vector<double>& times)
    : session_(std::move(model), pictures),
      classes_(std::move(classes)),
      denoiser_([this, time = std::move(time), &times](Context& ctx, ConstView x,
                                                       std::span<const double> sigmas, View out) {
        times.push_back(time(sigmas[0]));
        const std::vector<double> all(sigmas.size(), times.back());
        session_.Forward(ctx, x, all, classes_, out);
      }) {}

void DimDenoiser::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  denoiser_.Denoise(ctx, x, sigma, denoised);
}

}  // namespace gesso
