// The Mamba block: x and a gate from one projection, a short causal convolution, and a scan whose
// steps, inputs and outputs depend on x. No norm, no residual.
//
// Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces". Official:
// state-spaces/mamba mamba_ssm/modules/mamba_simple.py:Mamba.
#pragma once

#include <string>

#include "kernels/scan.h"
#include "models/mamba/config.h"
#include "models/mamba/state.h"
#include "models/nn/linear.h"

namespace gesso::mamba {

// The part of a block that has a direction: from x to the arguments of its scan.
class SelectiveBranch {
 public:
  explicit SelectiveBranch(const MambaConfig& config);

  // conv1d, x_proj, dt_proj, A_log, D; Vision Mamba's backward branch is called conv1d_b, x_proj_b,
  // dt_proj_b, A_b_log, D_b (`suffix` "_b").
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix, const std::string& suffix);
  void Prepare();  // once, after the weights are loaded

  // What a piece of a sequence goes on from and where it leaves that for the next; all may be
  // empty.
  struct Carry {
    ConstView conv_before = {};  // [B, inner, taps] f32
    ConstView ssm_before = {};   // [B, inner, states] f32
    View conv_after = {};        // may be conv_before
    View ssm_after = {};
  };
  // The scan of x [B, L, inner] (rows contiguous), on the arena. `backward` reads x from its end.
  ScanDirection Scan(Context& ctx, DType activation, ConstView x, const Carry& carry,
                     bool backward) const;

 private:
  MambaConfig config_;
  nn::Linear x_proj_;
  nn::Linear dt_proj_;  // its bias enters inside the softplus
  Tensor conv_weight_;  // [inner, 1, taps]
  Tensor conv_bias_;    // [inner], or empty
  Tensor dt_bias_;      // [inner]
  Tensor a_log_;        // [inner, states]
  Tensor skip_;         // D [inner]
  Tensor a_;            // -exp(a_log) [inner, states]
};

class Mamba {
 public:
  explicit Mamba(const MambaConfig& config);

  // in_proj, out_proj and those of SelectiveBranch.
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare() { branch_.Prepare(); }

  State MakeState(int64_t batch) const;

  // out [B, L, C] f32 = block(x); x [B, L, C] f32 or bf16. `activation`: what lies between
  // products. With `state` the sequence goes on from where it stands.
  void Forward(Context& ctx, DType activation, const nn::Input& x, State* state, View out) const;

 private:
  // out [1, L, inner] = scan of the halves x and gate of xz [1, L, 2 inner], piece by piece.
  void ScanPieces(Context& ctx, DType activation, ConstView xz, SelectiveBranch::Carry carry,
                  View out) const;

  MambaConfig config_;
  nn::Linear in_proj_;
  SelectiveBranch branch_;
  nn::Linear out_proj_;
};

// Vision Mamba's mixer (version 2): a second branch reads the sequence from its end, and the two
// outputs are added under one gate.
// Zhu et al. 2024, "Vision Mamba". Official: hustvl/Vim mamba_ssm/modules/mamba_simple.py:Mamba.
class BidirectionalMamba {
 public:
  explicit BidirectionalMamba(const MambaConfig& config);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare();
  // As Mamba::Forward.
  void Forward(Context& ctx, DType activation, const nn::Input& x, View out) const;

 private:
  MambaConfig config_;
  nn::Linear in_proj_;
  SelectiveBranch forward_;
  SelectiveBranch backward_;
  nn::Linear out_proj_;
};

}  // namespace gesso::mamba
