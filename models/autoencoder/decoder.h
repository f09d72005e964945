// The way from latents back to a picture.
//
// Official: FoundationVision/VAR models/basic_vae.py:Decoder, FoundationVision/Infinity
// infinity/models/bsq_vae/flux_vqgan.py:Decoder.
#pragma once

#include "models/autoencoder/blocks.h"

namespace gesso::autoencoder {

class Decoder {
 public:
  explicit Decoder(const Config& config);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  const Config& config() const { return config_; }

  // Shape of the picture [B, C, H, W] of latents [B, h, w, Z].
  Shape PictureShape(const Shape& latents) const;

  // latents [B, h, w, Z] f32 to picture [B, C, H, W] f32, about [-1, 1] but not clamped.
  // `activation`: element type of what convolutions read. Shows "decoder.mid". Allocates on
  // the arena only.
  void Forward(Context& ctx, DType activation, ConstView latents, View picture) const;

 private:
  // What has gone through the blocks of `level`, to out [B, H, W, C] of that level.
  void RunLevel(Context& ctx, DType activation, int64_t level, ConstView latents, View out) const;
  void RunMiddle(Context& ctx, DType activation, ConstView latents, View x) const;
  // Whether maps double their sides on the way from `level` to the finer one.
  bool Doubles(int64_t level) const { return level >= 1 && level <= config_.halvings; }

  Config config_;
  nn::Conv2d conv_in_;
  Middle mid_;
  std::vector<Level> levels_;
  std::vector<nn::Conv2d> upsamples_;  // from level i + 1 to i
  nn::GroupNorm norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace gesso::autoencoder
