// The transformer of VAR and M-VAR: from the picture so far, resized to a scale's token map, to
// logits of all its tokens. Class-conditional as published, or conditioned on a text.
//
// Tian et al. 2024, "Visual autoregressive modeling: scalable image generation via next-scale
// prediction"; Ren et al. 2024, "M-VAR: Decoupled scale-wise autoregressive modeling". Official:
// FoundationVision/VAR models/var.py:VAR, OliverRensu/MVAR models/mvar.py:MVAR.
#pragma once

#include <memory>
#include <vector>

#include "models/next_scale/ada_ln.h"
#include "models/next_scale/block.h"
#include "models/var/config.h"

namespace gesso::var {

struct Model {
  explicit Model(const Config& configuration);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare();  // once, after the weights are loaded

  int64_t scales() const { return static_cast<int64_t>(config.patch_nums.size()); }
  TokenMap map(int64_t scale) const;
  std::vector<TokenMap> maps() const;

  Config config;
  DType activation = DType::kF32;     // of what lies between products
  Tensor class_emb;                   // [num_classes + 1, C]; the last for no class
  std::vector<nn::Linear> text_proj;  // instead, with text: one, [C, D]
  nn::Linear word_embed;
  Tensor pos_start;  // [1, first_l, C]
  Tensor pos;        // pos_1LC [1, L, C]
  Tensor lvl_embed;  // [S, C]
  next_scale::AdaLayerNorms ada_ln;
  std::vector<next_scale::Block> blocks;
  nn::Linear head;
  Tensor start;      // [first_l, C]: what the first scale adds to the condition
  Tensor positions;  // [L, C]: positions and levels of all tokens
};

// Builds the network that `config` describes and fills it; buffers of the official files are left
// aside. Throws kFormat for weights of another depth, of another number of tokens, or, naming them,
// with tensors that do not fit.
std::shared_ptr<const Model> Load(Weights weights, const Config& config, Device device,
                                  DType dtype);

}  // namespace gesso::var
