// The residual blocks of an Hourglass Diffusion Transformer: self-attention, cross-attention to
// text, feed-forward. All change the residual stream x [B, Y, X, W] f32 in place.
//
// Crowson et al. 2024, section 4. Official: crowsonkb/k-diffusion
// k_diffusion/models/image_transformer_v2.py:{Global,Neighborhood,ShiftedWindow}TransformerLayer.
#pragma once

#include <optional>

#include "models/hdit/conditioner.h"
#include "models/nn/linear.h"

namespace gesso::hdit {

// The scales of every AdaRMSNorm of the network depend on the conditioning vector alone: one
// product computes them all. A norm keeps its place in that product.
class AdaptiveNorms {
 public:
  // Names and widths of the norms, in the order in which they were added.
  std::vector<nn::MatrixPart> parts;
  int64_t rows = 0;

  // Returns the norm's first row.
  int64_t Add(const std::string& name, int64_t width);
};

// cos and sin of the rotary angles of one layer on one token grid: [Y * X, heads, d_head / 4] f32.
struct RotaryTable {
  Tensor cos;
  Tensor sin;
};

// What the blocks of one forward pass share.
struct Pass {
  Context& ctx;
  DType activation;      // element type of what lies between products
  ConstView ada_scales;  // [B, AdaptiveNorms::rows] f32
};

class AdaRmsNorm {
 public:
  explicit AdaRmsNorm(int64_t width) : width_(width) {}

  void Visit(const std::string& prefix, AdaptiveNorms& norms) {
    row_ = norms.Add(prefix + "linear.weight", width_);
  }
  // Of x [B, Y, X, W] f32, for a layer that reads [B, Y * X, W] in `dtype`, on the arena.
  RmsNormArgs Of(const Pass& pass, ConstView x, DType dtype) const;

 private:
  int64_t width_;
  int64_t row_ = 0;
};

class SelfAttention {
 public:
  // `index` counts the layers of a level, down and up: odd ones shift their windows.
  SelfAttention(const SelfAttentionConfig& config, int64_t width, int64_t index);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix, AdaptiveNorms& norms);
  const Tensor& freqs() const { return freqs_; }  // [heads, d_head / 8], radians per position
  void Forward(const Pass& pass, const RotaryTable& table, View x) const;

 private:
  void Attend(const Pass& pass, ConstView qkv, View out) const;

  SelfAttentionConfig config_;
  int64_t heads_;
  int64_t shift_;
  AdaRmsNorm norm_;
  nn::Linear qkv_proj_;
  nn::Linear out_proj_;
  Tensor scale_;
  Tensor freqs_;
};

class CrossAttention {
 public:
  CrossAttention(int64_t d_head, int64_t width, int64_t context_width);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix, AdaptiveNorms& norms);
  // Keys and values [B, L, 2 W] of a text, context [B, L, D] f32, which last for all steps.
  // `activation` as in Pass.
  Tensor TextKeys(Context& ctx, DType activation, ConstView context) const;
  // kv from TextKeys; mask [B, L] i32 (0 = no token), or empty.
  void Forward(const Pass& pass, ConstView kv, ConstView mask, View x) const;

 private:
  int64_t heads_;
  AdaRmsNorm norm_;
  nn::Linear q_proj_;
  nn::Linear kv_proj_;
  nn::Linear out_proj_;
  Tensor scale_;
};

class FeedForward {
 public:
  FeedForward(int64_t width, int64_t d_ff);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix, AdaptiveNorms& norms);
  void Forward(const Pass& pass, View x) const;

 private:
  AdaRmsNorm norm_;
  nn::GatedLinear up_proj_;
  nn::Linear down_proj_;
};

struct Layer {
  std::optional<SelfAttention> self_attn;
  std::optional<CrossAttention> cross_attn;
  FeedForward ff;

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix, AdaptiveNorms& norms);
};

// The layers of one level on the way down, or on the way up (`first_index` = depth).
std::vector<Layer> MakeLayers(const LevelConfig& level, int64_t context_width, int64_t first_index);

}  // namespace gesso::hdit
