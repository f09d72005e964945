// What describes the convolutional encoder and decoder that the tokenizers of next-scale models
// share; their own configurations are translated into it.
#pragma once

#include <string>
#include <vector>

#include "models/nn/module.h"

namespace gesso::autoencoder {

// Height and width of a latent or token map.
struct MapSize {
  int64_t height = 0;
  int64_t width = 0;
  int64_t tokens() const { return height * width; }
  bool operator==(const MapSize&) const = default;
};

// One of the two networks. Level 0 has the picture's resolution.
struct Config {
  int64_t picture_channels = 3;
  int64_t latent_channels = 0;
  int64_t width = 0;                 // channels are multiples of it
  std::vector<int64_t> multipliers;  // by level
  int64_t res_blocks = 0;            // of a level in the encoder; the decoder has one more
  int64_t halvings = 0;              // a latent pixel has a side of 2^halvings; < levels
  bool attention = false;            // behind each residual block of the coarsest level
  bool mid_attention = false;        // between the two residual blocks in the middle
  int64_t other_groups = 0;  // groups of a norm where 32 do not divide its channels; 0: none
  std::string conv_name;     // "conv." where official names wrap convolutions, else ""
  std::string norm_name;     // "norm." likewise
  nn::Precision precision = nn::Precision::kModel;

  int64_t levels() const { return static_cast<int64_t>(multipliers.size()); }
  int64_t Channels(int64_t level) const { return width * multipliers[static_cast<size_t>(level)]; }
  int64_t stride() const { return int64_t{1} << halvings; }
};

// Groups of a norm over `channels`. Throws kConfig where neither number divides them.
int64_t NormGroups(const Config& config, int64_t channels);

}  // namespace gesso::autoencoder
