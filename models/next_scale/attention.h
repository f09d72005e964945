// Attention of next-scale transformers: to the tokens of this and all earlier scales through a
// cache, and to the states of a text.
//
// Official: FoundationVision/VAR models/basic_var.py:SelfAttention; FoundationVision/Infinity
// infinity/models/basic.py:SelfAttention, CrossAttention.
#pragma once

#include "models/next_scale/branch.h"
#include "models/nn/kv_cache.h"
#include "models/nn/linear.h"

namespace gesso::next_scale {

struct AttentionConfig {
  int64_t width = 0;
  int64_t heads = 0;
  // Queries and keys of length 1, queries times a learned factor a head, instead of `scale`.
  bool l2_norm = true;
  float scale = 1;  // of the scores, without l2_norm
};

class SelfAttention {
 public:
  explicit SelfAttention(const AttentionConfig& config);

  // mat_qkv.weight, q_bias, v_bias, scale_mul_1H11 (with l2_norm), proj.{weight, bias}.
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  // Once, after the weights are loaded.
  void Prepare();

  // out = attention(normed) + residual (may be empty), f32 [R, K, C]. normed [R, K, C] is the
  // normed input at `tokens` [R, K] i32 (empty = all of the map). They attend to what `cache` holds
  // and to each other; then their keys join it, thinned out by the hooks. At the last scale that
  // runs the layer the cache gives its memory back instead, if the pass does not say that it stays.
  // Without a cache they attend to each other only.
  void Forward(const Pass& pass, int64_t layer, ConstView tokens, const nn::Input& normed,
               nn::KvCache* cache, ConstView residual, View out) const;

 private:
  void Retain(const Pass& pass, int64_t layer, const nn::Input& normed,
              const nn::KvCache::Extension& all, nn::KvCache& cache) const;

  AttentionConfig config_;
  PackedMatrix qkv_;  // q, k, v on top of each other
  Tensor q_bias_;
  Tensor v_bias_;
  Tensor scale_mul_;  // [1, H, 1, 1], logarithms
  nn::Linear proj_;
  Tensor qkv_bias_;  // [3C]; keys have none
  Tensor q_scale_;   // [H], or empty
};

class CrossAttention {
 public:
  // To texts of width `text_width`.
  CrossAttention(int64_t width, int64_t heads, int64_t text_width);

  // mat_q.{weight, bias}, mat_kv.weight, v_bias, proj.{weight, bias}.
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare();

  // Writes keys and values kv [R, L, 2C] f32 or bf16 of a text [R, L, text_width] f32, the same for
  // all scales.
  void TextKeys(Context& ctx, ConstView text, View kv) const;

  // out = attention(normed) + residual (may be empty), f32 [R, K, C]. kv from TextKeys; mask
  // [R, L] i32 (0 = no token), or empty.
  void Forward(const Pass& pass, const nn::Input& normed, ConstView kv, ConstView mask,
               ConstView residual, View out) const;

 private:
  int64_t heads_;
  nn::Linear mat_q_;
  PackedMatrix mat_kv_;
  int64_t text_width_;
  Tensor v_bias_;
  nn::Linear proj_;
  Tensor kv_bias_;  // [2C]; keys have none
};

}  // namespace gesso::next_scale
