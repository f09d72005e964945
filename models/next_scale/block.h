// A transformer block of VAR and its relatives: self-attention, a scan of all tokens so far (M-VAR)
// or cross-attention to a text where the model has them, feed-forward; all but cross-attention
// modulated by adaLN.
//
// Official: FoundationVision/VAR models/basic_var.py:AdaLNSelfAttn; OliverRensu/MVAR
// models/basic_mvar.py:AdaLNSelfAttn; FoundationVision/Infinity
// infinity/models/basic.py:CrossAttnBlock.
#pragma once

#include <optional>
#include <string>

#include "models/mamba/mamba2.h"
#include "models/next_scale/attention.h"
#include "models/nn/norm.h"

namespace gesso::next_scale {

struct BlockConfig {
  AttentionConfig attention;
  int64_t ff_width = 0;
  float norm_eps = 1e-6f;
  std::optional<mamba::Mamba2Config> mamba = std::nullopt;  // with a scan
  std::optional<int64_t> text_width = std::nullopt;         // with cross-attention
  bool ca_gamma = false;                                    // learned gate of cross-attention, [C]
  std::string self_attention = "attn";                      // its name among the weights
};

class FeedForward {
 public:
  FeedForward(int64_t width, int64_t ff_width);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);  // fc1, fc2
  // out = fc2(gelu(fc1(normed))) + residual (may be empty), f32 [R, K, C].
  void Forward(const Pass& pass, const nn::Input& normed, ConstView residual, View out) const;

 private:
  nn::Linear fc1_;
  nn::Linear fc2_;
};

// What a block needs of the session, besides x.
struct BlockState {
  ConstView modulation;          // [R, 3 branches() C] f32: all gammas, all scales, all shifts
  nn::KvCache* cache;            // null: attention within the scale
  mamba::State* scan = nullptr;  // where the scan stands, with one
  ConstView text_keys = {};      // [R, L, 2C] of this block, with cross-attention
  ConstView text_mask = {};      // [R, L] i32, or empty
};

class Block {
 public:
  explicit Block(const BlockConfig& config);

  // Modulated branches, each with a gamma, a scale and a shift.
  int64_t branches() const { return mamba_ ? 3 : 2; }
  bool scans() const { return mamba_.has_value(); }
  // Before the first token; for a block that scans.
  mamba::State MakeScanState(int64_t rows) const { return mamba_->MakeState(rows); }

  // The weights of adaLN are not the block's own (next_scale/ada_ln.h).
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare();  // once, after the weights are loaded

  // Of a token's keys and values of the text for BlockState: 2C.
  int64_t text_keys_width() const { return 2 * config_.attention.width; }
  // Writes them [R, L, 2C] f32 or bf16; for a block with cross-attention.
  void TextKeys(Context& ctx, ConstView text, View kv) const { ca_->TextKeys(ctx, text, kv); }

  // x [R, N, C] f32 in place; `layer` is the block's number.
  void Forward(const Pass& pass, int64_t layer, const BlockState& state, View x) const;

 private:
  void CrossAttend(const Pass& pass, int64_t layer, const BlockState& state, View x) const;
  void Scan(const Pass& pass, int64_t layer, const BlockState& state, View x) const;

  BlockConfig config_;
  SelfAttention attn_;
  std::optional<mamba::Mamba2> mamba_;
  std::optional<nn::LayerNorm> ca_norm_;
  std::optional<CrossAttention> ca_;
  Tensor ca_gamma_;
  FeedForward ffn_;
};

}  // namespace gesso::next_scale
