// Norms with learned parameters.
#pragma once

#include "kernels/norm.h"
#include "models/nn/module.h"

namespace gesso::nn {

class RmsNorm {
 public:
  RmsNorm(int64_t features, float eps) : features_(features), eps_(eps) {}

  // The scale is called `scale` by k-diffusion and `weight` by transformers: the full name.
  void Visit(ParameterVisitor& visitor, const std::string& name) {
    visitor.Plain(name, {features_}, Role::kParameter, scale_);
  }

  // x, out [..., features]; out may be x.
  void Forward(Context& ctx, ConstView x, View out) const { gesso::RmsNorm(ctx, Of(x, out)); }
  // For a layer that alone reads out.
  RmsNormArgs Of(ConstView x, View out) const {
    const Shape rows = {1, x.numel() / features_, features_};
    return {.x = x.Reshape(rows),
            .scale = scale_,
            .scale_offset = 0,
            .eps = eps_,
            .out = out.Reshape(rows)};
  }

 private:
  int64_t features_;
  float eps_;
  Tensor scale_;
};

class LayerNorm {
 public:
  LayerNorm(int64_t features, float eps) : features_(features), eps_(eps) {}

  void Visit(ParameterVisitor& visitor, const std::string& prefix) {
    visitor.Plain(prefix + "weight", {features_}, Role::kParameter, weight_);
    visitor.Plain(prefix + "bias", {features_}, Role::kParameter, bias_);
  }

  // Of x to out [B, R, features], which may be x, for a layer that alone reads it.
  LayerNormArgs Of(ConstView x, View out) const {
    return {.x = x, .scale = weight_, .shift = bias_, .eps = eps_, .out = out};
  }

 private:
  int64_t features_;
  float eps_;
  Tensor weight_;
  Tensor bias_;
};

}  // namespace gesso::nn
