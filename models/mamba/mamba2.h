// The Mamba-2 block: everything from one projection, a short causal convolution, a scan with one
// decay a head, and a gated norm. No outer norm, no residual.
//
// Dao & Gu 2024, "Transformers are SSMs". Official: state-spaces/mamba
// mamba_ssm/modules/mamba2.py:Mamba2.
#pragma once

#include <string>

#include "models/mamba/config.h"
#include "models/mamba/state.h"
#include "models/nn/linear.h"

namespace gesso::mamba {

class Mamba2 {
 public:
  explicit Mamba2(const Mamba2Config& config);

  // in_proj, conv1d, dt_bias, A_log, D, norm.weight, out_proj.
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare();  // once, after the weights are loaded

  State MakeState(int64_t batch) const;

  // out [B, L, C] f32 = block(x) + residual (may be empty, or out); x [B, L, C] f32 or bf16.
  // `activation`: what lies between products. With `state` (may be null) the sequence goes on from
  // where it stands.
  void Forward(Context& ctx, DType activation, const nn::Input& x, State* state, ConstView residual,
               View out) const;

 private:
  void Scan(Context& ctx, ConstView projected, State* state, View y) const;
  void GateAndNorm(Context& ctx, ConstView z, View y) const;

  Mamba2Config config_;
  nn::Linear in_proj_;  // rows z, x, B, C, dt
  nn::Linear out_proj_;
  Tensor conv_weight_;  // [inner + 2 groups states, 1, taps]
  Tensor conv_bias_;    // of as many, or empty
  Tensor dt_bias_;      // [heads]
  Tensor a_log_;        // [heads]
  Tensor skip_;         // D [heads], or [inner] with D_has_hdim
  Tensor norm_;         // [inner], or empty
  Tensor a_;            // -exp(a_log) [heads]
};

}  // namespace gesso::mamba
