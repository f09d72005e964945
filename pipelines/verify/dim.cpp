// Recomputes the cases of DiM's network.
#include <algorithm>

#include "models/dim/session.h"
#include "pipelines/verify/systems.h"

namespace gesso {

void VerifyDim(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto model =
      dim::Load(parity_case.ModelWeights(), parity_case.config(), options.device, options.dtype);
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  const Tensor& x = parity_case.At("in/x");
  const Tensor timesteps = Cast(parity_case.At("in/timestep"), DType::kF64);
  Shape shape = x.shape();
  dim::Session session(model, shape);
  Tensor classes({shape[0]}, DType::kI32);
  std::fill_n(classes.MutableData<int32_t>(), shape[0],
              static_cast<int32_t>(model->config.num_classes));
  if (parity_case.Has("in/y")) classes = Cast(parity_case.At("in/y"), DType::kI32);
  shape.Set(1, model->config.out_channels);
  Tensor out(shape, DType::kF32);
  session.Forward(tapped, x,
                  {timesteps.Data<double>(), static_cast<size_t>(timesteps.view().numel())},
                  classes, out.mutable_view());
  parity_case.Compare("out/sample", out);
}

}  // namespace gesso
