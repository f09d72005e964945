// Recomputes the cases of the bidirectional Diffusion Mamba.
#include "models/bidim/session.h"
#include "pipelines/verify/systems.h"

namespace gesso {

void VerifyBidim(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto model =
      bidim::Load(parity_case.ModelWeights(), parity_case.config(), options.device, options.dtype);
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  const Tensor& x = parity_case.At("in/x");
  const Tensor timesteps = Cast(parity_case.At("in/timestep"), DType::kF64);
  const Tensor classes = Cast(parity_case.At("in/y"), DType::kI32);
  Shape shape = x.shape();
  const bidim::Session session(model, shape);
  shape.Set(1, model->config.out_channels);
  Tensor out(shape, DType::kF32);
  session.Forward(tapped, x,
                  {timesteps.Data<double>(), static_cast<size_t>(timesteps.view().numel())},
                  classes, out.mutable_view());
  parity_case.Compare("out/sample", out);
}

}  // namespace gesso
