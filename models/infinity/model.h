// Infinity: a next-scale transformer that predicts the bits of all tokens of a map at once, from a
// text. The weights; const once loaded. Session runs them.
//
// Han et al. 2024, "Infinity: Scaling Bitwise AutoRegressive Modeling for High-Resolution Image
// Synthesis". Official: FoundationVision/Infinity infinity/models/infinity.py:Infinity.
#pragma once

#include <memory>
#include <vector>

#include "models/infinity/config.h"
#include "models/infinity/text.h"
#include "models/next_scale/ada_ln.h"
#include "models/next_scale/block.h"

namespace gesso::infinity {

struct Model {
  explicit Model(const Config& config);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);

  Config config;
  DType activation = DType::kF32;  // of what lies between products
  TextConditioner text;
  Tensor pos_start;        // [1, 1, C]
  Tensor level_embedding;  // [kMaxScales, C]
  nn::Linear word_embed;   // from codes
  next_scale::AdaLayerNorms ada;
  std::vector<next_scale::Block> blocks;
  nn::Linear head;  // to 2 values a bit
};

// Scales that a checkpoint has level embeddings for.
constexpr int64_t kMaxScales = 15;

// Fills the network that `config` describes; weights under their official names, from a published
// file or from the trainer's. Throws kFormat naming the tensors that do not fit.
std::shared_ptr<const Model> Load(const Weights& file, const Config& config, Device device,
                                  DType dtype);

}  // namespace gesso::infinity
