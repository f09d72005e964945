// Recomputes the cases of the bidirectional Diffusion Mamba: the network alone, and with a text
// also the denoiser around it.
#include <algorithm>

#include "models/bidim/session.h"
#include "pipelines/verify/systems.h"
#include "samplers/parameterisation.h"

namespace gesso {

namespace {

std::vector<double> NumbersOf(const Tensor& tensor) {
  const Tensor numbers = Cast(tensor, DType::kF64);
  return {numbers.Data<double>(), numbers.Data<double>() + numbers.view().numel()};
}

void VerifyClasses(Context& ctx, ParityCase& parity_case,
                   const std::shared_ptr<const bidim::Model>& model) {
  const Tensor& x = parity_case.At("in/x");
  const Tensor classes = Cast(parity_case.At("in/y"), DType::kI32);
  Shape shape = x.shape();
  bidim::Session session(model, shape);
  shape.Set(1, model->config.out_channels);
  Tensor out(shape, DType::kF32);
  bidim::Conditioning conditioning;
  conditioning.classes = classes;
  session.Forward(ctx, x, NumbersOf(parity_case.At("in/timestep")), conditioning,
                  out.mutable_view());
  parity_case.Compare("out/sample", out);
}

void VerifyText(Context& ctx, const Context& tapped, ParityCase& parity_case,
                const std::shared_ptr<const bidim::Model>& model) {
  const Tensor& x = parity_case.At("in/x");
  const Tensor& context = parity_case.At("in/context");
  const Tensor mask = Cast(parity_case.At("in/context_mask"), DType::kI32);
  bidim::Conditioning conditioning;
  conditioning.pooled = parity_case.At("in/mapping_cond");
  conditioning.context = context;
  conditioning.context_mask = mask;
  bidim::Session session(model, x.shape(), context.shape()[1]);
  const Network network = [&](Context& c, ConstView scaled, std::span<const double> sigmas,
                              View out) {
    std::vector<double> times(sigmas.size());
    std::ranges::transform(sigmas, times.begin(), bidim::TimeOf);
    session.Forward(c, scaled, times, conditioning, out);
  };
  const std::vector<double> sigmas = NumbersOf(parity_case.At("in/sigma"));
  Tensor out(x.shape(), DType::kF32);
  Context shown = tapped;
  network(shown, x, sigmas, out.mutable_view());
  parity_case.Compare("out/f", out);
  const double sigma_data = GetNumber(parity_case.config(), "sigma_data", 1e-9, 1e9);
  KarrasDenoiser denoiser(network, sigma_data);
  denoiser.Denoise(ctx, parity_case.At("in/x_noised"), sigmas, out.mutable_view());
  parity_case.Compare("out/denoised", out);
}

}  // namespace

void VerifyBidim(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto model =
      bidim::Load(parity_case.ModelWeights(), parity_case.config(), options.device, options.dtype);
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  if (model->config.text) {
    VerifyText(ctx, tapped, parity_case, model);
  } else {
    VerifyClasses(tapped, parity_case, model);
  }
}

}  // namespace gesso
