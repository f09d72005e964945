// DiM, Diffusion Mamba: time, class and patches as one sequence through Mamba blocks of one
// direction each, which read the picture by turns along rows and columns, both ways; long skips
// join the first half of the blocks to the second.
//
// Teng et al. 2024, "DiM: Diffusion Mamba for Efficient High-Resolution Image Synthesis". Official:
// tyshiwo1/DiM-DiffusionMamba mamba_attn_diff/models/mamba_2d.py:Mamba2DModel, attention.py,
// adapter_attn4mamba.py.
#pragma once

#include <memory>
#include <vector>

#include "models/dim/config.h"
#include "models/io/weights.h"
#include "models/mamba/mamba.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"

namespace gesso::dim {

// x weight_main + skip weight_skip + biases; published as two linear layers, or as one over both.
class SkipLinear {
 public:
  SkipLinear(int64_t width, bool split);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare(Device device, DType dtype);
  // out = linear(x, factor * skip); all [B, N, D] f32, out neither of the two. Overwrites skip.
  void Forward(Context& ctx, ConstView x, float factor, View skip, View out) const;

 private:
  int64_t width_;
  bool split_;
  std::vector<nn::Linear> parts_;  // split
  Tensor weight_;                  // [D, 2D], not split
  Tensor bias_;
  PackedMatrix main_;  // its halves
  PackedMatrix skip_;
};

struct Block {
  Block(const Config& config, bool has_skip);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare(Device device, DType dtype);

  int64_t width;
  Tensor scale_shift_table;  // [3, D]: shift, scale, gate
  Tensor norm;               // [D]
  mamba::Mamba mixer;
  std::vector<SkipLinear> skip;  // one, or none
  Tensor modulation;             // [1, 3D]: the table with 1 added to scale and gate
};

struct Model {
  explicit Model(const Config& configuration);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  void Prepare(Device device, DType dtype);  // once, after the weights are loaded

  Config config;
  DType activation = DType::kF32;  // of what lies between products
  nn::Conv2d patch_in;
  Tensor positions;  // additional_embed [1, 2 + side^2, D]: time, class, patches
  nn::Conv2d first_smoother;
  nn::Conv2d last_smoother;
  Tensor pad_token;            // [1, D, pads]
  Tensor pad_token_dec_split;  // [1, pads, D]
  Tensor label_emb;            // [num_classes + 1, D]
  Tensor class_embedder;       // [num_classes + 1, D]
  nn::Linear time_in;
  nn::Linear time_out;
  nn::Linear adaln;  // 3D: shift, scale, gate
  std::vector<Block> blocks;
  Tensor norm_out;
  nn::Linear proj_out_1;  // shift, scale
  nn::Linear proj_out_2;
};

// Builds the network that `config` describes and fills it. Throws kConfig, kUnsupported, or kFormat
// naming the tensors that do not fit.
std::shared_ptr<const Model> Load(const Weights& weights, const Json& config, Device device,
                                  DType dtype);

}  // namespace gesso::dim
