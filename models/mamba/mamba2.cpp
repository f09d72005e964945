#include "models/mamba/mamba2.h"

#include <algorithm>
#include <cmath>

#include "kernels/causal_conv.h"
#include "kernels/norm.h"
#include "kernels/scan.h"
#include "models/nn/heads.h"

namespace gesso::mamba {

namespace {

constexpr float kNormEps = 1e-5f;

nn::Bias BiasOf(const Mamba2Config& config) {
  return config.bias ? nn::Bias::kLearned : nn::Bias::kNone;
}

}  // namespace

Mamba2::Mamba2(const Mamba2Config& config)
    : config_(config),
      in_proj_(config.inner + config.conv_width() + config.heads(), config.width,
               nn::Precision::kModel, BiasOf(config)),
      out_proj_(config.width, config.inner, nn::Precision::kModel, BiasOf(config)) {}

void Mamba2::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const auto plain = [&](const std::string& name, const Shape& shape, Tensor& tensor) {
    visitor.Plain(prefix + name, shape, nn::Role::kParameter, tensor);
  };
  const int64_t heads = config_.heads();
  in_proj_.Visit(visitor, prefix + "in_proj.");
  plain("conv1d.weight", {config_.conv_width(), 1, config_.taps}, conv_weight_);
  if (config_.conv_bias) plain("conv1d.bias", {config_.conv_width()}, conv_bias_);
  plain("dt_bias", {heads}, dt_bias_);
  plain("A_log", {heads}, a_log_);
  plain("D", {config_.skip_has_head_dim ? config_.inner : heads}, skip_);
  if (config_.has_norm) plain("norm.weight", {config_.inner}, norm_);
  out_proj_.Visit(visitor, prefix + "out_proj.");
}

void Mamba2::Prepare() {
  a_ = Tensor(a_log_.shape(), DType::kF32);
  std::transform(a_log_.Data<float>(), a_log_.Data<float>() + a_log_.view().numel(),
                 a_.MutableData<float>(), [](float log) { return -std::exp(log); });
}

State Mamba2::MakeState(int64_t batch) const {
  return {.conv = Tensor({batch, config_.conv_width(), config_.taps}, DType::kF32),
          .ssm = Tensor({batch, config_.heads(), config_.head_dim, config_.states}, DType::kF32)};
}

void Mamba2::Forward(Context& ctx, DType activation, const nn::Input& x, State* state,
                     ConstView residual, View out) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t batch = x.shape()[0];
  const int64_t length = x.shape()[1];
  const View projected = ctx.arena->Alloc({batch, length, in_proj_.out_features()}, activation);
  in_proj_.Forward(ctx, x, projected);
  const View y = ctx.arena->Alloc({batch, length, config_.inner}, activation);
  Scan(ctx, projected, state, y);
  const Shape rows = {batch * length, in_proj_.out_features()};
  GateAndNorm(ctx, projected.Reshape(rows).Slice(1, 0, config_.inner), y);
  out_proj_.Forward(ctx, y, out, residual);
}

// y [B, L, inner] from the projection's x, B, C and dt.
void Mamba2::Scan(Context& ctx, ConstView projected, State* state, View y) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t inner = config_.inner;
  const int64_t conv_end = inner + config_.conv_width();
  const View mixed = ctx.arena->Alloc({y.shape[0], y.shape[1], config_.conv_width()}, y.dtype);
  CausalConv1d(ctx, {.x = projected.Slice(2, inner, conv_end),
                     .weight = conv_weight_.view().Reshape({config_.conv_width(), config_.taps}),
                     .bias = conv_bias_,
                     .activation = Activation::kSilu,
                     .initial_state = state == nullptr ? ConstView() : state->conv.view(),
                     .final_state = state == nullptr ? View() : state->conv.mutable_view(),
                     .out = mixed});
  const int64_t b_end = inner + config_.groups * config_.states;
  const auto split = [&](int64_t begin, int64_t end, int64_t parts) {
    return nn::SplitHeads(ConstView(mixed).Slice(2, begin, end), parts);
  };
  const ConstView skip = skip_;
  Ssd(ctx,
      {.x = split(0, inner, config_.heads()),
       .dt = projected.Slice(2, conv_end, conv_end + config_.heads()),
       .a = a_,
       .b = split(inner, b_end, config_.groups),
       .c = split(b_end, config_.conv_width(), config_.groups),
       .d = config_.skip_has_head_dim ? skip.Reshape({config_.heads(), config_.head_dim}) : skip,
       .dt_bias = dt_bias_,
       .dt_softplus = true,
       .initial_state = state == nullptr ? ConstView() : state->ssm.view(),
       .final_state = state == nullptr ? View() : state->ssm.mutable_view(),
       .out = nn::SplitHeads(y, config_.heads())});
}

// y = norm(y silu(z)), or norm(y) silu(z); z [B * L, inner]. The norm works in `groups` slices.
void Mamba2::GateAndNorm(Context& ctx, ConstView z, View y) const {
  const View rows = y.Reshape(z.shape);
  const auto gate = [&] {
    Glu(ctx, {.value = rows, .gate = z, .activation = Activation::kSilu, .out = rows});
  };
  if (config_.has_norm && !config_.norm_before_gate) gate();
  if (config_.has_norm) {
    const View tokens = y.Reshape({1, z.shape[0], z.shape[1]});
    RmsNorm(ctx, {.x = tokens,
                  .scale = norm_,
                  .scale_offset = 0,
                  .eps = kNormEps,
                  .out = tokens,
                  .groups = config_.groups});
  }
  if (!config_.has_norm || config_.norm_before_gate) gate();
}

}  // namespace gesso::mamba
