// Bidirectional Diffusion Mamba, for pictures and videos: a DiT whose blocks are a state-space
// mixer that reads the tokens in both directions, without attention and MLP.
//
// Mo & Tian 2024, "Scaling Diffusion Mamba with Bidirectional SSMs for Efficient Image and Video
// Generation" (no code is published); mixer as in hustvl/Vim
// mamba_ssm/modules/mamba_simple.py:Mamba (bimamba_type v2).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "models/bidim/config.h"
#include "models/io/weights.h"
#include "models/mamba/mamba.h"
#include "models/nn/linear.h"

namespace gesso::bidim {

struct Block {
  nn::Linear ada_ln;  // shift, scale, gate
  mamba::BidirectionalMamba mixer;
};

struct Model {
  explicit Model(const Config& configuration);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare(Device device);  // once, after the weights are loaded

  Config config;
  DType activation = DType::kF32;  // of what lies between products
  Tensor patch_weight;             // x_embedder.proj.weight [D, C, frames, height, width]
  Tensor patch_bias;
  PackedMatrix patch_in;  // the same with the features of a token in the order of the pixels
  nn::Linear time_in;
  nn::Linear time_out;
  Tensor classes;                          // [num_classes + 1, D]; empty with a text
  std::optional<nn::Linear> text_proj;     // pooled text to what the class row is otherwise
  std::optional<nn::Linear> context_proj;  // states of the text to tokens
  std::vector<Block> blocks;
  nn::Linear final_ada_ln;  // shift, scale
  nn::Linear final_linear;
};

// Builds the network that `config` describes and fills it. Throws kConfig, or kFormat naming the
// tensors that do not fit.
std::shared_ptr<const Model> Load(const Weights& weights, const Json& config, Device device,
                                  DType dtype);

}  // namespace gesso::bidim
