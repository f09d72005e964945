// Linear layers, plain and gated, on matrices packed once.
#pragma once

#include <array>

#include "models/nn/input.h"
#include "models/nn/module.h"

namespace gesso::nn {

enum class Bias { kNone, kLearned };

class Linear {
 public:
  Linear(int64_t out_features, int64_t in_features, Precision precision = Precision::kModel,
         Bias bias = Bias::kNone)
      : out_(out_features), in_(in_features), precision_(precision), has_bias_(bias) {}

  int64_t out_features() const { return out_; }
  int64_t in_features() const { return in_; }

  void Visit(ParameterVisitor& visitor, const std::string& prefix) {
    const std::array<MatrixPart, 1> part = {{{prefix + "weight", out_}}};
    visitor.Matrix(part, in_, precision_, weight_);
    if (has_bias_ == Bias::kLearned) {
      visitor.Plain(prefix + "bias", {out_}, Role::kParameter, bias_);
    }
  }

  // out = activation(x weight^T + bias) + residual. x [..., in], out and residual [..., out];
  // residual may be empty, or `out` itself.
  void Forward(Context& ctx, const Input& x, View out, ConstView residual = {},
               Activation activation = Activation::kNone) const {
    x.Multiply(ctx, LinearArgs{.x = {},
                               .weight = &weight_,
                               .bias = bias_,
                               .activation = activation,
                               .residual = residual,
                               .out = out});
  }

 private:
  int64_t out_;
  int64_t in_;
  Precision precision_;
  Bias has_bias_;
  PackedMatrix weight_;
  Tensor bias_;  // [out], or empty
};

// out = value * activation(gate), both linear in x: GEGLU and its relatives (Shazeer 2020, "GLU
// Variants Improve Transformer"). Declared by its owner, because checkpoints name the halves
// differently; value first.
class GatedLinear {
 public:
  GatedLinear(int64_t out_features, int64_t in_features, Activation activation,
              Precision precision = Precision::kModel)
      : out_(out_features), in_(in_features), activation_(activation), precision_(precision) {}

  int64_t out_features() const { return out_; }

  // Both halves in one tensor [2 out, in] called `prefix`weight.
  void Visit(ParameterVisitor& visitor, const std::string& prefix) {
    const std::array<MatrixPart, 1> part = {{{prefix + "weight", 2 * out_}}};
    visitor.Matrix(part, in_, precision_, weight_);
  }
  // A tensor [out, in] each.
  void VisitHalves(ParameterVisitor& visitor, const std::string& value, const std::string& gate) {
    const std::array<MatrixPart, 2> parts = {{{value, out_}, {gate, out_}}};
    visitor.Matrix(parts, in_, precision_, weight_);
  }

  // x [..., in], out [..., out]
  void Forward(Context& ctx, const Input& x, View out) const {
    x.Multiply(ctx,
               LinearGluArgs{.x = {}, .weight = &weight_, .activation = activation_, .out = out});
  }

 private:
  int64_t out_;
  int64_t in_;
  Activation activation_;
  Precision precision_;
  PackedMatrix weight_;
};

}  // namespace gesso::nn
