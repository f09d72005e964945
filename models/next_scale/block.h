// A transformer block of VAR and its relatives: self-attention with a cache, cross-attention to a
// text where the model has one, feed-forward; the first and the last modulated by adaLN.
//
// Official: FoundationVision/VAR models/basic_var.py:AdaLNSelfAttn; FoundationVision/Infinity
// infinity/models/basic.py:CrossAttnBlock.
#pragma once

#include <optional>
#include <string>

#include "models/next_scale/attention.h"
#include "models/nn/norm.h"

namespace gesso::next_scale {

struct BlockConfig {
  AttentionConfig attention;
  int64_t ff_width = 0;
  float norm_eps = 1e-6f;
  std::optional<int64_t> text_width = std::nullopt;  // with cross-attention
  bool ca_gamma = false;                             // learned gate of cross-attention, [C]
  std::string self_attention = "attn";               // its name among the weights
};

class FeedForward {
 public:
  FeedForward(int64_t width, int64_t ff_width);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);  // fc1, fc2
  // out = fc2(gelu(fc1(normed))) + residual (may be empty), f32 [R, K, C].
  void Forward(const Pass& pass, ConstView normed, ConstView residual, View out) const;

 private:
  nn::Linear fc1_;
  nn::Linear fc2_;
};

// What a block needs of the session, besides x.
struct BlockState {
  ConstView modulation;  // [R, 6C] f32: gamma1, gamma2, scale1, scale2, shift1, shift2
  nn::KvCache* cache;
  ConstView text_keys = {};  // [R, L, 2C] of this block, with cross-attention
  ConstView text_mask = {};  // [R, L] i32, or empty
};

class Block {
 public:
  explicit Block(const BlockConfig& config);

  // The weights of adaLN are not the block's own (next_scale/ada_ln.h).
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare();  // once, after the weights are loaded

  // Keys and values of the text for BlockState; an empty tensor without cross-attention.
  Tensor TextKeys(Context& ctx, DType activation, ConstView text) const;

  // x [R, N, C] f32 in place; `layer` is the block's number.
  void Forward(const Pass& pass, int64_t layer, const BlockState& state, View x) const;

 private:
  void CrossAttend(const Pass& pass, int64_t layer, const BlockState& state, View x) const;

  BlockConfig config_;
  SelfAttention attn_;
  std::optional<nn::LayerNorm> ca_norm_;
  std::optional<CrossAttention> ca_;
  Tensor ca_gamma_;
  FeedForward ffn_;
};

}  // namespace gesso::next_scale
