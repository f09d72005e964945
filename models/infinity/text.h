// What a text tells Infinity: one vector that modulates all blocks and starts the sequence, and the
// states that cross-attention sees. Computed once a picture.
//
// Official: FoundationVision/Infinity infinity/models/infinity.py:TextAttentivePool,
// Infinity.text_norm, text_proj_for_sos, text_proj_for_ca.
#pragma once

#include "models/infinity/config.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace gesso::infinity {

class TextConditioner {
 public:
  explicit TextConditioner(const Config& config);

  // text_norm.weight, text_proj_for_sos.ca.*, text_proj_for_ca.{0, 2}.*, cfg_uncond.
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare();  // once, after the weights are loaded

  // What stands for the text where there is none: [text_maxlen, text_channels] f32.
  const Tensor& unconditional() const { return cfg_uncond_; }

  // From the states of a text encoder [R, L, text_channels] f32 and their mask [R, L] i32 (0 = no
  // token): cond [R, C] f32, a learned query's view of all tokens, and states [R, L, C] f32.
  void Forward(Context& ctx, ConstView text, ConstView mask, View cond, View states) const;

 private:
  int64_t width_;
  int64_t heads_;  // of the pooling
  int64_t text_maxlen_;
  Tensor cfg_uncond_;
  nn::RmsNorm norm_;
  Tensor pool_query_;     // [1, heads, C / heads]
  PackedMatrix pool_kv_;  // keys, values on top of each other
  Tensor pool_v_bias_;
  Tensor pool_kv_bias_;  // [2C]; keys have none
  nn::Linear pool_proj_;
  nn::Linear states_in_;
  nn::Linear states_out_;
};

}  // namespace gesso::infinity
