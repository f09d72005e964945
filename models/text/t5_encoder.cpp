#include "models/text/t5_encoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/attention.h"
#include "kernels/core/dry_run.h"
#include "kernels/token.h"
#include "models/nn/heads.h"
#include "models/nn/load.h"

namespace gesso::text {

namespace {

// [B, L, channels] on the arena.
View AllocTokens(Context& ctx, ConstView x, int64_t channels, DType dtype) {
  return ctx.arena->Alloc({x.shape[0], x.shape[1], channels}, dtype);
}

// Buckets of distances: half for keys after the query, half for those before; in each, the first
// half one distance each, the rest logarithmic up to max_distance. Float32, as in the official
// code, whose truncation decides the borders.
int64_t RelativePositionBucket(int64_t distance, const T5Config& config) {
  const int64_t half = config.relative_attention_num_buckets / 2;
  const int64_t offset = distance > 0 ? half : 0;
  const int64_t exact = half / 2;
  const int64_t away = std::abs(distance);
  if (away < exact) return offset + away;
  const auto range = static_cast<float>(std::log(
      static_cast<double>(config.relative_attention_max_distance) / static_cast<double>(exact)));
  const float position = std::log(static_cast<float>(away) / static_cast<float>(exact)) / range *
                         static_cast<float>(half - exact);
  return offset + std::min(exact + static_cast<int64_t>(position), half - 1);
}

// The encoder's own tensors: other names for the embedding are united, the decoder's taken out.
std::map<std::string, Tensor> EncoderTensors(std::map<std::string, Tensor> tensors) {
  const std::string shared = "shared.weight";
  const std::string alias = "encoder.embed_tokens.weight";
  if (const auto found = tensors.find(alias); found != tensors.end()) {
    const Tensor embedding = found->second;
    tensors.erase(found);
    tensors.emplace(shared, embedding);
  }
  std::erase_if(tensors, [](const auto& item) {
    return item.first.starts_with("decoder.") || item.first == "lm_head.weight";
  });
  return tensors;
}

}  // namespace

T5Block::T5Block(const T5Config& config)
    : heads_(config.num_heads),
      activation_(config.activation),
      attention_norm_(config.d_model, static_cast<float>(config.layer_norm_epsilon)),
      inner_dim_(config.inner_dim()),
      d_model_(config.d_model),
      o_(config.d_model, config.inner_dim()),
      ff_norm_(config.d_model, static_cast<float>(config.layer_norm_epsilon)),
      wo_(config.d_model, config.d_ff) {
  if (config.is_gated) {
    gated_wi_.emplace(config.d_ff, config.d_model, config.activation);
  } else {
    wi_.emplace(config.d_ff, config.d_model);
  }
}

void T5Block::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const std::string attention = prefix + "layer.0.SelfAttention.";
  const std::array<nn::MatrixPart, 3> qkv = {{{attention + "q.weight", inner_dim_},
                                              {attention + "k.weight", inner_dim_},
                                              {attention + "v.weight", inner_dim_}}};
  attention_norm_.Visit(visitor, prefix + "layer.0.layer_norm.weight");
  // Scores are not scaled down and reach far: rounded, they cost more than all else together.
  visitor.Matrix(qkv, d_model_, nn::Precision::kFull, qkv_);
  o_.Visit(visitor, attention + "o.");
  const std::string dense = prefix + "layer.1.DenseReluDense.";
  ff_norm_.Visit(visitor, prefix + "layer.1.layer_norm.weight");
  if (wi_) wi_->Visit(visitor, dense + "wi.");
  if (gated_wi_) gated_wi_->VisitHalves(visitor, dense + "wi_1.weight", dense + "wi_0.weight");
  wo_.Visit(visitor, dense + "wo.");
}

void T5Block::Attend(Context& ctx, ConstView position_bias, ConstView mask, View x) const {
  const Arena::Scope scope(*ctx.arena);
  const View qkv = AllocTokens(ctx, x, 3 * inner_dim_, DType::kF32);
  const View normed = AllocTokens(ctx, x, d_model_, DType::kF32);
  attention_norm_.Forward(ctx, x, normed);
  Linear(ctx, {.x = normed, .weight = &qkv_, .bias = {}, .residual = {}, .out = qkv});
  const auto part = [&](int64_t i) {
    return nn::SplitHeads(qkv.Slice(2, i * inner_dim_, (i + 1) * inner_dim_), heads_);
  };
  const View attended = AllocTokens(ctx, x, inner_dim_, DType::kF32);
  Attention(ctx, {.q = part(0),
                  .k = part(1),
                  .v = part(2),
                  .bias = position_bias,
                  .key_mask = mask,
                  .scale = 1,
                  .out = nn::SplitHeads(attended, heads_)});
  o_.Forward(ctx, attended, x, x);
}

void T5Block::FeedForward(Context& ctx, DType activation, View x) const {
  const Arena::Scope scope(*ctx.arena);
  const nn::Input normed = ff_norm_.Of(x, AllocTokens(ctx, x, d_model_, activation));
  const View hidden = AllocTokens(ctx, x, wo_.in_features(), activation);
  if (gated_wi_) {
    gated_wi_->Forward(ctx, normed, hidden);
  } else {
    wi_->Forward(ctx, normed, hidden, {}, activation_);
  }
  wo_.Forward(ctx, hidden, x, x);
}

T5Encoder::T5Encoder(const T5Config& config)
    : config_(config),
      blocks_(static_cast<size_t>(config.num_layers), T5Block(config)),
      final_layer_norm_(config.d_model, static_cast<float>(config.layer_norm_epsilon)) {}

std::shared_ptr<const T5Encoder> T5Encoder::Load(Weights weights, const Json& config, Device device,
                                                 DType dtype) {
  auto encoder = std::make_shared<T5Encoder>(
      WithContext(weights.path.string() + " (config)", [&] { return ParseT5Config(config); }));
  weights.tensors = EncoderTensors(std::move(weights.tensors));
  encoder->activation_ = ActivationDType(device, dtype);
  nn::LoadWeights(*encoder, weights, device, dtype);
  return encoder;
}

void T5Encoder::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  visitor.Plain(prefix + "shared.weight", {config_.vocab_size, config_.d_model},
                nn::Role::kParameter, shared_);
  visitor.Plain(prefix + "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                {config_.relative_attention_num_buckets, config_.num_heads}, nn::Role::kParameter,
                relative_attention_bias_);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].Visit(visitor, fmt::format("{}encoder.block.{}.", prefix, i));
  }
  final_layer_norm_.Visit(visitor, prefix + "encoder.final_layer_norm.weight");
}

// [heads, length, length]: what a query at row i adds to its score of key j. The first block's
// table serves all blocks.
Tensor T5Encoder::PositionBias(int64_t length) const {
  const int64_t heads = config_.num_heads;
  Tensor bias({heads, length, length}, DType::kF32);
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j < length; ++j) {
      const int64_t bucket = RelativePositionBucket(j - i, config_);
      for (int64_t head = 0; head < heads; ++head) {
        bias.MutableData<float>()[(head * length + i) * length + j] =
            relative_attention_bias_.Data<float>()[bucket * heads + head];
      }
    }
  }
  return bias;
}

void T5Encoder::Forward(Context& ctx, ConstView ids, ConstView mask, View out) const {
  Require(ids.shape.rank() == 2 && mask.shape == ids.shape &&
              out.shape == Shape({ids.shape[0], ids.shape[1], config_.d_model}),
          ErrorKind::kShape, "t5 encoder: ids {}, mask {} and states {} do not fit", ids.shape,
          mask.shape, out.shape);
  const Tensor bias = PositionBias(ids.shape[1]);
  ConstView first_row = bias.view();  // of every head
  first_row.shape = {config_.num_heads, ids.shape[1]};
  first_row.strides = {bias.shape()[1] * bias.shape()[2], 1};
  ctx.Show("block0.position_bias", first_row);
  GatherRows(ctx, {.table = shared_, .ids = ids, .out = out});
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].Attend(ctx, bias, mask, out);
    if (i == 0) ctx.Show("block0.attn_out", out);
    blocks_[i].FeedForward(ctx, activation_, out);
    if (i == 0) ctx.Show("block0", out);
  }
  final_layer_norm_.Forward(ctx, out, out);
}

size_t T5Encoder::ArenaBytes(int64_t batch, int64_t length) const {
  return DryRun([&](Context& ctx, Arena& outside) {
    Forward(ctx, outside.Alloc({batch, length}, DType::kI32),
            outside.Alloc({batch, length}, DType::kI32),
            outside.Alloc({batch, length, config_.d_model}, DType::kF32));
  });
}

}  // namespace gesso::text
