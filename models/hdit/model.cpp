#include "models/hdit/model.h"

#include <algorithm>

#include "models/nn/load.h"

namespace gesso::hdit {

namespace {

constexpr int64_t kMerge = 2 * 2;  // tokens that a merge makes one

int64_t PatchFeatures(const Config& config) {
  return config.patch_height * config.patch_width * config.input_channels;
}

}  // namespace

Model::Model(const Config& configuration)
    : config(configuration),
      conditioner(config),
      patch_in(config.levels.front().width, PatchFeatures(config), nn::Precision::kFull),
      out_norm(config.levels.front().width, kEps),
      patch_out(PatchFeatures(config), config.levels.front().width, nn::Precision::kFull) {
  for (const LevelConfig& level : config.levels) {
    down.push_back(MakeLayers(level, config.cross_attn_dim, 0));
  }
  for (size_t i = 0; i < middle(); ++i) {
    const int64_t fine = config.levels[i].width;
    const int64_t coarse = config.levels[i + 1].width;
    up.push_back(MakeLayers(config.levels[i], config.cross_attn_dim, config.levels[i].depth));
    merges.emplace_back(coarse, kMerge * fine);
    splits.push_back({nn::Linear(kMerge * fine, coarse), Tensor()});
  }
}

bool Model::attends_to_text() const {
  return std::ranges::any_of(config.levels, [](const LevelConfig& level) {
    return level.cross_attn_d_head.has_value() && level.depth > 0;
  });
}

void Model::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  AdaptiveNorms norms;
  const auto visit_layers = [&](std::vector<Layer>& layers, const std::string& name) {
    for (size_t i = 0; i < layers.size(); ++i) {
      layers[i].Visit(visitor, fmt::format("{}{}.{}.", prefix, name, i), norms);
    }
  };
  patch_in.Visit(visitor, prefix + "patch_in.proj.");
  conditioner.Visit(visitor, prefix);
  for (size_t i = 0; i < middle(); ++i) {
    visit_layers(down[i], fmt::format("down_levels.{}", i));
    visit_layers(up[i], fmt::format("up_levels.{}", i));
    merges[i].Visit(visitor, fmt::format("{}merges.{}.proj.", prefix, i));
    splits[i].proj.Visit(visitor, fmt::format("{}splits.{}.proj.", prefix, i));
    visitor.Plain(fmt::format("{}splits.{}.fac", prefix, i), {1}, nn::Role::kParameter,
                  splits[i].fac);
  }
  visit_layers(down[middle()], "mid_level");
  out_norm.Visit(visitor, prefix + "out_norm.scale");
  patch_out.Visit(visitor, prefix + "patch_out.proj.");
  visitor.Matrix(norms.parts, config.mapping_width, nn::Precision::kFull, ada_scales);
}

std::shared_ptr<const Model> Load(const Weights& weights, const Json& config, Device device,
                                  DType dtype) {
  auto model = std::make_shared<Model>(
      WithContext(weights.path.string() + " (config)", [&] { return ParseConfig(config); }));
  model->dtype = dtype;
  model->activation = ActivationDType(device, dtype);
  nn::LoadWeights(*model, weights, device, dtype);
  return model;
}

}  // namespace gesso::hdit
