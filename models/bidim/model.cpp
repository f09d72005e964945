#include "models/bidim/model.h"

#include "models/nn/load.h"

namespace gesso::bidim {

namespace {

constexpr int64_t kTimeFeatures = 256;

nn::Linear WithBias(int64_t out, int64_t in, nn::Precision precision) {
  return nn::Linear(out, in, precision, nn::Bias::kLearned);
}

}  // namespace

Model::Model(const Config& configuration)
    : config(configuration),
      time_in(WithBias(config.width, kTimeFeatures, nn::Precision::kFull)),
      time_out(WithBias(config.width, config.width, nn::Precision::kFull)),
      blocks(static_cast<size_t>(config.depth),
             {WithBias(3 * config.width, config.width, nn::Precision::kModel),
              mamba::BidirectionalMamba(config.mixer)}),
      final_ada_ln(WithBias(2 * config.width, config.width, nn::Precision::kFull)),
      final_linear(
          WithBias(config.patch() * config.out_channels, config.width, nn::Precision::kFull)) {
  if (!config.text) return;
  text_proj = WithBias(config.width, config.text->dim, nn::Precision::kFull);
  context_proj = WithBias(config.width, config.text->dim, nn::Precision::kFull);
}

void Model::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  constexpr nn::Role kParameter = nn::Role::kParameter;
  const int64_t width = config.width;
  visitor.Plain(
      prefix + "x_embedder.proj.weight",
      {width, config.in_channels, config.patch_frames, config.patch_height, config.patch_width},
      kParameter, patch_weight);
  visitor.Plain(prefix + "x_embedder.proj.bias", {width}, kParameter, patch_bias);
  time_in.Visit(visitor, prefix + "t_embedder.mlp.0.");
  time_out.Visit(visitor, prefix + "t_embedder.mlp.2.");
  if (config.text) {
    text_proj->Visit(visitor, prefix + "text_proj.");
    context_proj->Visit(visitor, prefix + "context_proj.");
  } else {
    visitor.Plain(prefix + "y_embedder.embedding_table.weight", {config.num_classes + 1, width},
                  kParameter, classes);
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string name = fmt::format("{}blocks.{}.", prefix, i);
    blocks[i].ada_ln.Visit(visitor, name + "adaLN_modulation.1.");
    blocks[i].mixer.Visit(visitor, name + "mixer.");
  }
  final_ada_ln.Visit(visitor, prefix + "final_layer.adaLN_modulation.1.");
  final_linear.Visit(visitor, prefix + "final_layer.linear.");
}

void Model::Prepare(Device device) {
  for (Block& block : blocks) block.mixer.Prepare();
  const Tensor channels_last = Cast(patch_weight.view().Permute({0, 2, 3, 4, 1}), DType::kF32);
  patch_in = PackMatrix(
      device, channels_last.view().Reshape({config.width, config.patch() * config.in_channels}),
      DType::kF32);
}

std::shared_ptr<const Model> Load(const Weights& weights, const Json& config, Device device,
                                  DType dtype) {
  auto model = std::make_shared<Model>(
      WithContext(weights.path.string() + " (config)", [&] { return ParseConfig(config); }));
  model->activation = ActivationDType(device, dtype);
  nn::LoadWeights(*model, weights, device, dtype);
  model->Prepare(device);
  return model;
}

}  // namespace gesso::bidim
