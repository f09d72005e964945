// The configuration of VAR's multi-scale VQVAE: the arguments of its constructor, under their
// official names, as checked data.
//
// Tian et al. 2024, "Visual Autoregressive Modeling: Scalable Image Generation via Next-Scale
// Prediction". Official: FoundationVision/VAR models/vqvae.py:VQVAE.
#pragma once

#include "models/autoencoder/config.h"
#include "models/io/json.h"

namespace gesso::vqvae {

using autoencoder::MapSize;

// Of the quantiser alone.
struct QuantizerConfig {
  int64_t vocab_size = 0;
  int64_t z_channels = 0;
  std::vector<MapSize> maps;     // v_patch_nums: token map of each scale, small to large
  double quant_resi = 0;         // share of the convolution in phi; about 0: phi is the identity
  int64_t share_quant_resi = 0;  // number of phis; 0: one a scale
  int64_t phi_count = 0;         // phis in the checkpoint; 0: phi is the identity
  bool using_znorm = false;      // nearest by angle instead of distance

  const std::vector<MapSize>& Maps() const { return maps; }
  // Tokens of all maps.
  int64_t tokens() const;
};

struct Config {
  QuantizerConfig quantizer;
  autoencoder::Config encoder;
  autoencoder::Config decoder;
  int64_t quant_conv_kernel = 3;  // quant_conv_ks
};

// Both throw kConfig naming the field.
QuantizerConfig ParseQuantizerConfig(const Json& json);
Config ParseConfig(const Json& json);

}  // namespace gesso::vqvae
