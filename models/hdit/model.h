// Hourglass Diffusion Transformer: the weights of a network F(x, sigma, conditioning). Const once
// loaded; Session runs it.
//
// Crowson et al. 2024, "Scalable High-Resolution Pixel-Space Image Synthesis with Hourglass
// Diffusion Transformers". Official: crowsonkb/k-diffusion
// k_diffusion/models/image_transformer_v2.py:ImageTransformerDenoiserModelV2. Beyond it: levels
// may attend to text (config `model.cross_attns`).
#pragma once

#include <memory>
#include <vector>

#include "models/hdit/conditioner.h"
#include "models/hdit/layers.h"
#include "models/io/weights.h"

namespace gesso::hdit {

// The way back up: project, spread each token over 2 x 2, mix into the skip connection.
struct Split {
  nn::Linear proj;
  Tensor fac;  // [1]: share of the upsampled branch
};

struct Model {
  explicit Model(const Config& config);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);

  // The last level, which is neither left nor entered through a merge.
  size_t middle() const { return config.levels.size() - 1; }
  bool attends_to_text() const;

  Config config;
  DType dtype = DType::kF32;       // of the products
  DType activation = DType::kF32;  // of what lies between them
  Conditioner conditioner;
  nn::Linear patch_in;
  std::vector<std::vector<Layer>> down;  // by level, the middle last
  std::vector<std::vector<Layer>> up;    // by level, without the middle
  std::vector<nn::Linear> merges;        // from level i to i + 1
  std::vector<Split> splits;             // from level i + 1 to i
  nn::RmsNorm out_norm;
  nn::Linear patch_out;
  PackedMatrix ada_scales;  // see AdaptiveNorms
};

// Builds the network that `config` describes and fills it. Throws kConfig, or kFormat naming the
// tensors that do not fit.
std::shared_ptr<const Model> Load(const Weights& weights, const Json& config, Device device,
                                  DType dtype);

}  // namespace gesso::hdit
