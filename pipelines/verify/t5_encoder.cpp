// Recomputes the cases of the T5 encoder.
#include "models/text/t5_encoder.h"

#include "pipelines/verify/systems.h"

namespace gesso {

void VerifyT5Encoder(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto encoder = text::T5Encoder::Load(parity_case.ModelWeights(), parity_case.config(),
                                             options.device, options.dtype);
  const Tensor& ids = parity_case.At("in/input_ids");
  Require(ids.shape().rank() == 2, ErrorKind::kShape, "in/input_ids: expected [B, L], got {}",
          ids.shape().ToString());
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  Tensor states({ids.shape()[0], ids.shape()[1], encoder->config().d_model}, DType::kF32);
  encoder->Forward(tapped, ids, parity_case.At("in/attention_mask"), states.mutable_view());
  parity_case.Compare("out/last_hidden_state", states);
}

}  // namespace gesso
