// GroupNorm with learned scale and shift, and the activation behind it.
#pragma once

#include "kernels/group_norm.h"
#include "models/nn/module.h"

namespace gesso::nn {

class GroupNorm {
 public:
  GroupNorm(int64_t channels, int64_t groups, float eps, Activation activation = Activation::kNone)
      : channels_(channels), groups_(groups), eps_(eps), activation_(activation) {}

  void Visit(ParameterVisitor& visitor, const std::string& prefix) {
    visitor.Plain(prefix + "weight", {channels_}, Role::kParameter, scale_);
    visitor.Plain(prefix + "bias", {channels_}, Role::kParameter, shift_);
  }

  // x, out [B, H, W, channels] f32 or bf16; out may be x.
  void Forward(Context& ctx, ConstView x, View out) const {
    gesso::GroupNorm(ctx, {.x = x,
                           .groups = groups_,
                           .scale = scale_,
                           .shift = shift_,
                           .eps = eps_,
                           .activation = activation_,
                           .out = out});
  }

 private:
  int64_t channels_;
  int64_t groups_;
  float eps_;
  Activation activation_;
  Tensor scale_;
  Tensor shift_;
};

}  // namespace gesso::nn
