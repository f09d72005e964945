// From noise level, augmentation, class and mapping condition to the one vector that modulates
// every block. In float32 always: it is small, and its errors reach everything.
//
// Official: crowsonkb/k-diffusion k_diffusion/models/image_transformer_v2.py:MappingNetwork.
#pragma once

#include <optional>
#include <vector>

#include "models/hdit/config.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace gesso::hdit {

constexpr float kEps = 1e-6f;  // of every norm
constexpr int64_t kAugmentations = 9;

// What a batch of pictures is conditioned on, apart from its noise. Host memory, contiguous.
struct Conditioning {
  ConstView aug_cond;      // [B, 9] f32; empty: no augmentation
  ConstView class_cond;    // [B] i32 in 0 .. num_classes (= no class); if the model has classes
  ConstView mapping_cond;  // [B, mapping_cond_dim] f32; if the model has a mapping condition
  ConstView context;       // [B, L, cross_attn_dim] f32; if the model attends to text
  ConstView context_mask;  // [B, L] i32, 0 = no token; empty: all are tokens
};

// x + down(GEGLU(up(RMSNorm(x)))) on vectors.
class MappingBlock {
 public:
  MappingBlock(int64_t width, int64_t d_ff);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Forward(Context& ctx, View x) const;  // x [B, mapping_width] f32, in place

 private:
  nn::RmsNorm norm_;
  nn::GatedLinear up_proj_;
  nn::Linear down_proj_;
};

class Conditioner {
 public:
  explicit Conditioner(const Config& config);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);

  // The sum of everything that does not depend on the noise level, to fixed [B, mapping_width].
  // Throws kUsage for an input that the model needs and does not get, or gets and has no use for;
  // kShape for one of a wrong shape.
  void Fixed(Context& ctx, const Conditioning& conditioning, View fixed) const;

  // log_sigma [B, 1] f32 in host memory: ln(sigma) / 4. fixed from Fixed. Writes the conditioning
  // vector cond [B, mapping_width] f32.
  void Forward(Context& ctx, ConstView log_sigma, ConstView fixed, View cond) const;

 private:
  int64_t mapping_width_;
  int64_t num_classes_;
  Tensor time_emb_;
  Tensor aug_emb_;
  Tensor class_emb_;
  nn::Linear time_in_proj_;
  nn::Linear aug_in_proj_;
  std::optional<nn::Linear> mapping_cond_in_proj_;
  nn::RmsNorm in_norm_;
  std::vector<MappingBlock> blocks_;
  nn::RmsNorm out_norm_;
};

}  // namespace gesso::hdit
