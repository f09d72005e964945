// The configuration of Infinity's visual tokenizer under its official names, as checked data.
//
// Han et al. 2024, "Infinity: Scaling Bitwise AutoRegressive Modeling for High-Resolution Image
// Synthesis". Official: FoundationVision/Infinity infinity/models/bsq_vae/vae.py,
// flux_vqgan.py:AutoEncoder.
#pragma once

#include "models/autoencoder/config.h"
#include "models/io/json.h"

namespace gesso::bsq_vae {

using autoencoder::MapSize;

struct Config {
  int64_t codebook_dim = 0;  // bits a token
  autoencoder::Config encoder;
  autoencoder::Config decoder;
};

// Throws kConfig naming the field, kUnsupported for variants that were never published.
Config ParseConfig(const Json& json);

// The token maps of a list of [t, h, w] with t = 1. Throws kConfig naming `key`.
std::vector<MapSize> ParseSchedule(const Json& json, const std::string& key);

}  // namespace gesso::bsq_vae
