// The blocks of a convolutional autoencoder, on maps [B, H, W, C] f32, channels last. `activation`
// is the element type of what convolutions read, behind a norm; sums stay in float32.
//
// Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models". Official:
// FoundationVision/VAR models/basic_vae.py:{ResnetBlock,AttnBlock}, FoundationVision/Infinity
// infinity/models/bsq_vae/flux_vqgan.py:ResnetBlock.
#pragma once

#include <optional>

#include "models/autoencoder/config.h"
#include "models/nn/conv.h"
#include "models/nn/group_norm.h"

namespace gesso::autoencoder {

inline constexpr float kNormEps = 1e-6f;

// shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x)))))); the shortcut is 1x1 where the number of
// channels changes.
class ResnetBlock {
 public:
  ResnetBlock(const Config& config, int64_t in_channels, int64_t out_channels);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  bool changes_channels() const { return shortcut_.has_value(); }
  // x [B, H, W, in], out [B, H, W, out]; out may be x where the channels stay.
  void Forward(Context& ctx, DType activation, ConstView x, View out) const;

 private:
  std::string conv_name_;
  std::string norm_name_;
  nn::GroupNorm norm1_;
  nn::Conv2d conv1_;
  nn::GroupNorm norm2_;
  nn::Conv2d conv2_;
  std::optional<nn::Conv2d> shortcut_;
};

// x + proj(attention(norm(x))) over all pixels, one head of all channels, in place.
class AttentionBlock {
 public:
  AttentionBlock(const Config& config, int64_t channels);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Forward(Context& ctx, DType activation, View x) const;

 private:
  int64_t channels_;
  nn::GroupNorm norm_;
  nn::Conv2d qkv_;
  nn::Conv2d proj_out_;
};

// Residual block, attention where the model has it, residual block, in place: between the coarsest
// level and the latents.
class Middle {
 public:
  Middle(const Config& config, int64_t channels);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Forward(Context& ctx, DType activation, View x) const;

 private:
  ResnetBlock block_1_;
  std::optional<AttentionBlock> attn_1_;
  ResnetBlock block_2_;
};

// The residual blocks of one level, with their attention.
class Level {
 public:
  // The first block leads from `in_channels` to `out_channels`.
  Level(const Config& config, int64_t count, int64_t in_channels, int64_t out_channels,
        bool attention);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  bool changes_channels() const { return blocks_.front().changes_channels(); }
  // As ResnetBlock::Forward.
  void Forward(Context& ctx, DType activation, ConstView x, View out) const;

 private:
  std::vector<ResnetBlock> blocks_;
  std::vector<AttentionBlock> attns_;  // one a block, or none
};

}  // namespace gesso::autoencoder
