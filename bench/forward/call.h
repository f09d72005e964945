// One call of a network with the tensors of a file, whatever the network: what gesso_bench_forward
// times.
#pragma once

#include <memory>

#include "kernels/core/context.h"
#include "models/io/weights.h"

namespace gesso::bench {

class Call {
 public:
  virtual ~Call() = default;
  virtual Shape OutShape() const = 0;
  // Bytes of arena that Prepare and then Forward need.
  virtual size_t ArenaBytes() = 0;
  // Once, before the first Forward.
  virtual void Prepare(Context& ctx) { static_cast<void>(ctx); }
  // out f32, of OutShape.
  virtual void Forward(Context& ctx, View out) = 0;
};

// The network is the one that metadata "system" of `weights` names: "hdit", where it is absent, or
// "dim" or "bidim"; its configuration is in "config". `input` has, for HDiT, x [B, C, H, W] f32
// already scaled by c_in and sigma [B], as the model needs them also class_cond, mapping_cond,
// aug_cond, context, context_mask; for DiM x [B, C, H, W], timestep [B] and classes y [B]; for the
// bidirectional Diffusion Mamba the same with x [B, C, T, H, W]. Throws kConfig for another name,
// kFormat for a tensor that is absent, and what the networks throw.
std::unique_ptr<Call> MakeCall(const Weights& weights, const Weights& input, Device device,
                               DType dtype);

}  // namespace gesso::bench
