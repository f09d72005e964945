#include "models/mamba/mamba.h"

#include <algorithm>
#include <cmath>

#include "kernels/causal_conv.h"
#include "kernels/core/backend.h"

namespace gesso::mamba {

namespace {

nn::Bias BiasOf(const BlockSize& size) { return size.bias ? nn::Bias::kLearned : nn::Bias::kNone; }

nn::Linear InProj(const MambaConfig& config) {
  return nn::Linear(2 * config.inner, config.width, nn::Precision::kModel, BiasOf(config));
}

nn::Linear OutProj(const MambaConfig& config) {
  return nn::Linear(config.width, config.inner, nn::Precision::kModel, BiasOf(config));
}

}  // namespace

SelectiveBranch::SelectiveBranch(const MambaConfig& config)
    : config_(config),
      x_proj_(config.dt_rank + 2 * config.states, config.inner),
      dt_proj_(config.inner, config.dt_rank) {}

void SelectiveBranch::Visit(nn::ParameterVisitor& visitor, const std::string& prefix,
                            const std::string& suffix) {
  const auto plain = [&](const std::string& name, const Shape& shape, Tensor& tensor) {
    visitor.Plain(prefix + name, shape, nn::Role::kParameter, tensor);
  };
  const int64_t inner = config_.inner;
  plain("conv1d" + suffix + ".weight", {inner, 1, config_.taps}, conv_weight_);
  if (config_.conv_bias) plain("conv1d" + suffix + ".bias", {inner}, conv_bias_);
  x_proj_.Visit(visitor, prefix + "x_proj" + suffix + ".");
  dt_proj_.Visit(visitor, prefix + "dt_proj" + suffix + ".");
  plain("dt_proj" + suffix + ".bias", {inner}, dt_bias_);
  plain("A" + suffix + "_log", {inner, config_.states}, a_log_);
  plain("D" + suffix, {inner}, skip_);
}

void SelectiveBranch::Prepare() {
  a_ = Tensor(a_log_.shape(), DType::kF32);
  std::transform(a_log_.Data<float>(), a_log_.Data<float>() + a_log_.view().numel(),
                 a_.MutableData<float>(), [](float log) { return -std::exp(log); });
}

ScanDirection SelectiveBranch::Scan(Context& ctx, DType activation, ConstView x, const Carry& carry,
                                    bool backward) const {
  const int64_t batch = x.shape[0];
  const int64_t length = x.shape[1];
  const int64_t rank = config_.dt_rank;
  const View u = ctx.arena->Alloc(x.shape, activation);
  CausalConv1d(ctx, {.x = x,
                     .weight = conv_weight_.view().Reshape({config_.inner, config_.taps}),
                     .bias = conv_bias_,
                     .activation = Activation::kSilu,
                     .reverse = backward,
                     .initial_state = carry.conv_before,
                     .final_state = carry.conv_after,
                     .out = u});
  const View projected = ctx.arena->Alloc({batch, length, 1, x_proj_.out_features()}, DType::kF32);
  x_proj_.Forward(ctx, u, projected);
  const View delta = ctx.arena->Alloc(x.shape, activation);
  const Shape rows = {batch * length, x_proj_.out_features()};
  dt_proj_.Forward(ctx, projected.Reshape(rows).Slice(1, 0, rank), delta);
  const auto states = [&](int64_t first) {
    return projected.Slice(3, first, first + config_.states);
  };
  return {.u = u,
          .delta = delta,
          .a = a_,
          .b = states(rank),
          .c = states(rank + config_.states),
          .d = skip_,
          .delta_bias = dt_bias_,
          .initial_state = carry.ssm_before,
          .final_state = carry.ssm_after};
}

Mamba::Mamba(const MambaConfig& config)
    : config_(config), in_proj_(InProj(config)), branch_(config), out_proj_(OutProj(config)) {}

void Mamba::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  in_proj_.Visit(visitor, prefix + "in_proj.");
  branch_.Visit(visitor, prefix, "");
  out_proj_.Visit(visitor, prefix + "out_proj.");
}

State Mamba::MakeState(int64_t batch) const {
  return {.conv = Tensor({batch, config_.inner, config_.taps}, DType::kF32),
          .ssm = Tensor({batch, config_.inner, config_.states}, DType::kF32)};
}

void Mamba::Forward(Context& ctx, DType activation, const nn::Input& x, State* state,
                    View out) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t inner = config_.inner;
  const int64_t batch = x.shape()[0];
  const int64_t length = x.shape()[1];
  const View xz = ctx.arena->Alloc({batch, length, 2 * inner}, activation);
  in_proj_.Forward(ctx, x, xz);
  const View scanned = ctx.arena->Alloc({batch, length, inner}, activation);
  // A GPU is the faster the more it is given at once.
  const int64_t together = CurrentBackend() != nullptr ? batch : 1;
  const View conv = state != nullptr
                        ? state->conv.mutable_view()
                        : ctx.arena->Alloc({together, inner, config_.taps}, DType::kF32);
  const View ssm = state != nullptr
                       ? state->ssm.mutable_view()
                       : ctx.arena->Alloc({together, inner, config_.states}, DType::kF32);
  for (int64_t b = 0; b < batch; b += together) {
    SelectiveBranch::Carry carry = {.conv_after = conv, .ssm_after = ssm};
    const int64_t end = b + together;
    if (state != nullptr) {
      carry.conv_before = carry.conv_after = conv.Slice(0, b, end);
      carry.ssm_before = carry.ssm_after = ssm.Slice(0, b, end);
    }
    ScanPieces(ctx, activation, xz.Slice(0, b, end), carry, scanned.Slice(0, b, end));
  }
  out_proj_.Forward(ctx, scanned, out);
}

void Mamba::ScanPieces(Context& ctx, DType activation, ConstView xz, SelectiveBranch::Carry carry,
                       View out) const {
  const int64_t length = xz.shape[1];
  // What lies between the products of a piece stays in the CPU's L2, so time is linear in the
  // length.
  const int64_t piece_length = CurrentBackend() != nullptr ? length : 256;
  for (int64_t begin = 0; begin < length; begin += piece_length) {
    const Arena::Scope scope(*ctx.arena);
    const int64_t end = std::min(length, begin + piece_length);
    const ConstView piece = xz.Slice(1, begin, end);
    SelectiveScanArgs scan;
    scan.forward = branch_.Scan(ctx, activation, piece.Slice(2, 0, config_.inner), carry, false);
    scan.z = piece.Slice(2, config_.inner, 2 * config_.inner);
    scan.out = out.Slice(1, begin, end);
    SelectiveScan(ctx, scan);
    carry.conv_before = carry.conv_after;
    carry.ssm_before = carry.ssm_after;
  }
}

BidirectionalMamba::BidirectionalMamba(const MambaConfig& config)
    : config_(config),
      in_proj_(InProj(config)),
      forward_(config),
      backward_(config),
      out_proj_(OutProj(config)) {}

void BidirectionalMamba::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  in_proj_.Visit(visitor, prefix + "in_proj.");
  forward_.Visit(visitor, prefix, "");
  backward_.Visit(visitor, prefix, "_b");
  out_proj_.Visit(visitor, prefix + "out_proj.");
}

void BidirectionalMamba::Prepare() {
  forward_.Prepare();
  backward_.Prepare();
}

void BidirectionalMamba::Forward(Context& ctx, DType activation, const nn::Input& x,
                                 View out) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t inner = config_.inner;
  const int64_t batch = x.shape()[0];
  const int64_t length = x.shape()[1];
  const View xz = ctx.arena->Alloc({batch, length, 2 * inner}, activation);
  in_proj_.Forward(ctx, x, xz);
  const ConstView input = xz.Slice(2, 0, inner);
  SelectiveScanArgs scan;
  scan.forward = forward_.Scan(ctx, activation, input, {}, false);
  scan.backward = backward_.Scan(ctx, activation, input, {}, true);
  scan.z = xz.Slice(2, inner, 2 * inner);
  scan.out = ctx.arena->Alloc({batch, length, inner}, activation);
  SelectiveScan(ctx, scan);
  out_proj_.Forward(ctx, scan.out, out);
}

}  // namespace gesso::mamba
