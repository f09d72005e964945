// The encoder of T5: token ids to one vector a token.
//
// Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
// Transformer"; the gated variant is T5 v1.1. Official: huggingface/transformers
// models/t5/modeling_t5.py:T5EncoderModel.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "models/io/weights.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/text/t5_config.h"

namespace gesso::text {

// Self-attention and feed-forward, each x + f(RMSNorm(x)), on x [B, L, d_model] f32 in place.
class T5Block {
 public:
  explicit T5Block(const T5Config& config);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  // position_bias [heads, L, L] f32, mask [B, L] i32; both as Attention takes them.
  void Attend(Context& ctx, ConstView position_bias, ConstView mask, View x) const;
  void FeedForward(Context& ctx, DType activation, View x) const;

 private:
  int64_t heads_;
  Activation activation_;
  nn::RmsNorm attention_norm_;
  PackedMatrix qkv_;  // q, k, v on top of each other
  int64_t inner_dim_;
  int64_t d_model_;
  nn::Linear o_;
  nn::RmsNorm ff_norm_;
  std::optional<nn::Linear> wi_;             // plain, or
  std::optional<nn::GatedLinear> gated_wi_;  // gated
  nn::Linear wo_;
};

class T5Encoder {
 public:
  explicit T5Encoder(const T5Config& config);

  // Builds the encoder that `config` describes and fills it. Weights of a whole T5 serve as well:
  // the decoder's are left aside. Throws kConfig, kUnsupported, or kFormat naming the tensors that
  // do not fit.
  static std::shared_ptr<const T5Encoder> Load(Weights weights, const Json& config, Device device,
                                               DType dtype);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  const T5Config& config() const { return config_; }

  // The final states of ids [B, L] i32 (host memory), to out [B, L, d_model] f32. mask [B, L] i32,
  // 0 = padding, which no token attends to. Throws kShape for an id outside the vocabulary.
  void Forward(Context& ctx, ConstView ids, ConstView mask, View out) const;

  // Bytes of arena that Forward needs for [batch, length] tokens.
  size_t ArenaBytes(int64_t batch, int64_t length) const;

 private:
  Tensor PositionBias(int64_t length) const;

  T5Config config_;
  DType activation_ = DType::kF32;  // of what lies between products
  Tensor shared_;                   // [vocab_size, d_model]
  Tensor relative_attention_bias_;  // [buckets, heads]
  std::vector<T5Block> blocks_;
  nn::RmsNorm final_layer_norm_;
};

}  // namespace gesso::text
