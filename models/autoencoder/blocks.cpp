#include "models/autoencoder/blocks.h"

#include <cmath>

#include "kernels/attention.h"

namespace gesso::autoencoder {

namespace {

nn::GroupNorm Norm(const Config& config, int64_t channels, Activation activation) {
  return {channels, NormGroups(config, channels), kNormEps, activation};
}

}  // namespace

int64_t NormGroups(const Config& config, int64_t channels) {
  constexpr int64_t kGroups = 32;
  if (channels % kGroups == 0) return kGroups;
  Require(config.other_groups > 0 && channels % config.other_groups == 0, ErrorKind::kConfig,
          "{} channels (base {}) are no multiple of {}{}, the groups of their norms", channels,
          config.width, kGroups,
          config.other_groups > 0 ? fmt::format(" or {}", config.other_groups) : "");
  return config.other_groups;
}

ResnetBlock::ResnetBlock(const Config& config, int64_t in_channels, int64_t out_channels)
    : conv_name_(config.conv_name),
      norm_name_(config.norm_name),
      norm1_(Norm(config, in_channels, Activation::kSilu)),
      conv1_(out_channels, in_channels, 3, config.precision),
      norm2_(Norm(config, out_channels, Activation::kSilu)),
      conv2_(out_channels, out_channels, 3, config.precision) {
  if (in_channels != out_channels) {
    shortcut_.emplace(out_channels, in_channels, 1, config.precision);
  }
}

void ResnetBlock::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  norm1_.Visit(visitor, prefix + "norm1." + norm_name_);
  conv1_.Visit(visitor, prefix + "conv1." + conv_name_);
  norm2_.Visit(visitor, prefix + "norm2." + norm_name_);
  conv2_.Visit(visitor, prefix + "conv2." + conv_name_);
  if (shortcut_) shortcut_->Visit(visitor, prefix + "nin_shortcut." + conv_name_);
}

void ResnetBlock::Forward(Context& ctx, DType activation, ConstView x, View out) const {
  const Arena::Scope scope(*ctx.arena);
  const View hidden = ctx.arena->Alloc(out.shape, DType::kF32);
  {
    const Arena::Scope inner(*ctx.arena);
    const View normed = ctx.arena->Alloc(x.shape, activation);
    norm1_.Forward(ctx, x, normed);
    conv1_.Forward(ctx, normed, hidden);
  }
  const View normed = activation == DType::kF32 ? hidden : ctx.arena->Alloc(out.shape, activation);
  norm2_.Forward(ctx, hidden, normed);
  if (shortcut_) shortcut_->Forward(ctx, x, out);
  conv2_.Forward(ctx, normed, out, shortcut_ ? ConstView(out) : x);
}

AttentionBlock::AttentionBlock(const Config& config, int64_t channels)
    : channels_(channels),
      norm_(Norm(config, channels, Activation::kNone)),
      qkv_(3 * channels, channels, 1, config.precision),
      proj_out_(channels, channels, 1, config.precision) {}

void AttentionBlock::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  norm_.Visit(visitor, prefix + "norm.");
  qkv_.Visit(visitor, prefix + "qkv.");
  proj_out_.Visit(visitor, prefix + "proj_out.");
}

void AttentionBlock::Forward(Context& ctx, DType activation, View x) const {
  const Arena::Scope scope(*ctx.arena);
  const Shape& s = x.shape;
  const int64_t tokens = s[1] * s[2];
  const View normed = ctx.arena->Alloc(s, activation);
  const View qkv = ctx.arena->Alloc({s[0], s[1], s[2], 3 * channels_}, activation);
  norm_.Forward(ctx, x, normed);
  qkv_.Forward(ctx, normed, qkv);
  const ConstView parts = ConstView(qkv).Reshape({s[0], tokens, 3, channels_});
  Attention(ctx, {.q = parts.Slice(2, 0, 1),
                  .k = parts.Slice(2, 1, 2),
                  .v = parts.Slice(2, 2, 3),
                  .bias = {},
                  .key_mask = {},
                  .scale = 1 / std::sqrt(static_cast<float>(channels_)),
                  .out = normed.Reshape({s[0], tokens, 1, channels_})});
  proj_out_.Forward(ctx, normed, x, x);
}

Middle::Middle(const Config& config, int64_t channels)
    : block_1_(config, channels, channels), block_2_(config, channels, channels) {
  if (config.mid_attention) attn_1_.emplace(config, channels);
}

void Middle::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  block_1_.Visit(visitor, prefix + "block_1.");
  if (attn_1_) attn_1_->Visit(visitor, prefix + "attn_1.");
  block_2_.Visit(visitor, prefix + "block_2.");
}

void Middle::Forward(Context& ctx, DType activation, View x) const {
  block_1_.Forward(ctx, activation, x, x);
  if (attn_1_) attn_1_->Forward(ctx, activation, x);
  block_2_.Forward(ctx, activation, x, x);
}

Level::Level(const Config& config, int64_t count, int64_t in_channels, int64_t out_channels,
             bool attention) {
  for (int64_t i = 0; i < count; ++i) {
    blocks_.emplace_back(config, i == 0 ? in_channels : out_channels, out_channels);
    if (attention) attns_.emplace_back(config, out_channels);
  }
}

void Level::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].Visit(visitor, fmt::format("{}block.{}.", prefix, i));
  }
  for (size_t i = 0; i < attns_.size(); ++i) {
    attns_[i].Visit(visitor, fmt::format("{}attn.{}.", prefix, i));
  }
}

void Level::Forward(Context& ctx, DType activation, ConstView x, View out) const {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].Forward(ctx, activation, i == 0 ? x : ConstView(out), out);
    if (!attns_.empty()) attns_[i].Forward(ctx, activation, out);
  }
}

}  // namespace gesso::autoencoder
