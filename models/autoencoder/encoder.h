// The way from a picture to latents.
//
// Official: FoundationVision/VAR models/basic_vae.py:Encoder, FoundationVision/Infinity
// infinity/models/bsq_vae/flux_vqgan.py:Encoder.
#pragma once

#include "models/autoencoder/blocks.h"

namespace gesso::autoencoder {

class Encoder {
 public:
  explicit Encoder(const Config& config);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  const Config& config() const { return config_; }

  // Size of the latents of a picture. Throws kUsage for one that does not halve evenly.
  MapSize LatentSize(int64_t height, int64_t width) const;

  // picture [B, C, H, W] f32 in [-1, 1] to latents [B, h, w, Z] f32, which decide tokens: all in
  // float32. Shows "encoder.mid". Allocates on the arena only.
  void Forward(Context& ctx, ConstView picture, View latents) const;

 private:
  Config config_;
  nn::Conv2d conv_in_;
  std::vector<Level> levels_;
  std::vector<nn::Conv2d> downsamples_;
  Middle mid_;
  nn::GroupNorm norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace gesso::autoencoder
