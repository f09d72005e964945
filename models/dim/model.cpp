#include "models/dim/model.h"

#include <algorithm>
#include <array>

#include "kernels/elementwise.h"
#include "models/nn/load.h"

namespace gesso::dim {

namespace {

constexpr int64_t kTimeFeatures = 256;
constexpr nn::Precision kFull = nn::Precision::kFull;

nn::Linear WithBias(int64_t out, int64_t in, nn::Precision precision) {
  return nn::Linear(out, in, precision, nn::Bias::kLearned);
}

// 3 x 3, each channel alone.
nn::Conv2d Smoother(int64_t width) {
  return nn::Conv2d(width, width, 3, kFull, {.padding = 1, .groups = width});
}

}  // namespace

SkipLinear::SkipLinear(int64_t width, bool split) : width_(width), split_(split) {
  if (split) parts_.assign(2, WithBias(width, width, nn::Precision::kModel));
}

void SkipLinear::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  if (split_) {
    parts_[0].Visit(visitor, prefix + "0.");
    parts_[1].Visit(visitor, prefix + "1.");
    return;
  }
  visitor.Plain(prefix + "weight", {width_, 2 * width_}, nn::Role::kParameter, weight_);
  visitor.Plain(prefix + "bias", {width_}, nn::Role::kParameter, bias_);
}

void SkipLinear::Prepare(Device device, DType dtype) {
  if (split_) return;
  const auto half = [&](int64_t begin) {
    const Tensor columns = Cast(weight_.view().Slice(1, begin, begin + width_), DType::kF32);
    return PackMatrix(device, columns, dtype);
  };
  main_ = half(0);
  skip_ = half(width_);
}

void SkipLinear::Forward(Context& ctx, ConstView x, float factor, View skip, View out) const {
  if (split_) {
    parts_[0].Forward(ctx, x, out);
  } else {
    Linear(ctx, {.x = x, .weight = &main_, .bias = bias_, .residual = {}, .out = out});
  }
  if (factor != 1) {
    const std::array<Term, 1> scaled = {{{factor, skip}}};
    LinearCombination(ctx, {.terms = scaled, .out = skip});
  }
  if (split_) {
    parts_[1].Forward(ctx, skip, out, out);
  } else {
    Linear(ctx, {.x = skip, .weight = &skip_, .bias = {}, .residual = out, .out = out});
  }
}

Block::Block(const Config& config, bool has_skip) : width(config.width), mixer(config.mixer) {
  if (has_skip) skip.emplace_back(config.width, config.skip_split);
}

void Block::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  visitor.Plain(prefix + "scale_shift_table", {3, width}, nn::Role::kParameter, scale_shift_table);
  visitor.Plain(prefix + "norm1.norm.weight", {width}, nn::Role::kParameter, norm);
  mixer.Visit(visitor, prefix + "attn1.");
  for (SkipLinear& linear : skip) linear.Visit(visitor, prefix + "skip_linear.");
}

void Block::Prepare(Device device, DType dtype) {
  mixer.Prepare();
  for (SkipLinear& linear : skip) linear.Prepare(device, dtype);
  modulation = Tensor({1, 3 * width}, DType::kF32);
  for (int64_t i = 0; i < 3 * width; ++i) {
    const float one = i < width ? 0 : 1;
    modulation.MutableData<float>()[i] = scale_shift_table.Data<float>()[i] + one;
  }
}

Model::Model(const Config& configuration)
    : config(configuration),
      patch_in(config.width, config.in_channels, config.patch, kFull, {.stride = config.patch}),
      first_smoother(Smoother(config.width)),
      last_smoother(Smoother(config.width)),
      time_in(WithBias(config.width, kTimeFeatures, kFull)),
      time_out(WithBias(config.width, config.width, kFull)),
      adaln(WithBias(3 * config.width, config.width, kFull)),
      proj_out_1(WithBias(2 * config.width, config.width, kFull)),
      proj_out_2(WithBias(config.patch * config.patch * config.out_channels, config.width, kFull)) {
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    blocks.emplace_back(config, layer >= config.decoder_start());
  }
}

void Model::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const auto plain = [&](const std::string& name, const Shape& shape, Tensor& tensor) {
    visitor.Plain(prefix + name, shape, nn::Role::kParameter, tensor);
  };
  const int64_t width = config.width;
  const std::string adaln_name = prefix + "adaln_single.";
  patch_in.Visit(visitor, prefix + "pos_embed.proj.");
  plain("additional_embed", {1, 2 + config.side * config.side, width}, positions);
  first_smoother.Visit(visitor, prefix + "a4m_adapter.first_smoother.");
  last_smoother.Visit(visitor, prefix + "a4m_adapter.last_smoother.");
  plain("a4m_adapter.pad_token", {1, width, config.pads}, pad_token);
  plain("a4m_adapter.pad_token_dec_split", {1, config.pads, width}, pad_token_dec_split);
  plain("label_emb.weight", {config.num_classes + 1, width}, label_emb);
  plain("adaln_single.emb.class_embedder.embedding_table.weight", {config.num_classes + 1, width},
        class_embedder);
  time_in.Visit(visitor, adaln_name + "emb.timestep_embedder.linear_1.");
  time_out.Visit(visitor, adaln_name + "emb.timestep_embedder.linear_2.");
  adaln.Visit(visitor, adaln_name + "linear.");
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].Visit(visitor, fmt::format("{}transformer_blocks.{}.", prefix, i));
  }
  plain("norm_out.norm.weight", {width}, norm_out);
  proj_out_1.Visit(visitor, prefix + "proj_out_1.");
  proj_out_2.Visit(visitor, prefix + "proj_out_2.");
}

void Model::Prepare(Device device, DType dtype) {
  for (Block& block : blocks) block.Prepare(device, dtype);
}

std::shared_ptr<const Model> Load(const Weights& weights, const Json& config, Device device,
                                  DType dtype) {
  auto model = std::make_shared<Model>(
      WithContext(weights.path.string() + " (config)", [&] { return ParseConfig(config); }));
  model->activation = ActivationDType(device, dtype);
  nn::LoadWeights(*model, weights, device, dtype);
  model->Prepare(device, dtype);
  return model;
}

}  // namespace gesso::dim
