#include "models/bsq_vae/model.h"

#include "kernels/core/dry_run.h"
#include "models/nn/load.h"

namespace gesso::bsq_vae {

namespace {

constexpr std::string_view kFolder = "vae.";  // where published files keep the weights

// The weights of the published file's model, or all of a file that has no such folder.
void KeepTokenizer(Weights& weights) {
  Weights tokenizer = weights.Under(kFolder);
  if (!tokenizer.tensors.empty()) weights.tensors = std::move(tokenizer.tensors);
  // Powers of two for integer labels, which do not exist for bits.
  weights.tensors.erase("quantizer.lfq.mask");
  weights.tensors.erase("quantize.lfq.mask");
}

// "encoder.conv_in.conv.weight" without its wrapper: "encoder.conv_in.weight".
std::string Unwrapped(const std::string& name) {
  const size_t leaf = name.rfind('.');
  const size_t wrapper = name.rfind('.', leaf - 1);
  return name.substr(0, wrapper) + name.substr(leaf);
}

// Gives tensors that are named without wrappers the official names.
void WrapNames(Model& model, Weights& weights) {
  nn::ShapeCollector expected;
  model.Visit(expected, "");
  std::map<std::string, Tensor> renamed;
  for (const auto& [name, shape] : expected.shapes()) {
    if (weights.tensors.contains(name)) continue;
    const auto found = weights.tensors.find(Unwrapped(name));
    if (found == weights.tensors.end() || expected.shapes().contains(found->first)) continue;
    renamed[name] = found->second;
    weights.tensors.erase(found);
  }
  weights.tensors.merge(renamed);
}

}  // namespace

Model::Model(const Config& config)
    : config_(config), encoder_(config.encoder), decoder_(config.decoder) {}

std::shared_ptr<const Model> Model::Load(Weights weights, const Json& config, Device device,
                                         DType dtype) {
  auto model = WithContext(weights.path.string() + " (config)",
                           [&] { return std::make_shared<Model>(ParseConfig(config)); });
  KeepTokenizer(weights);
  WrapNames(*model, weights);
  model->activation_ = ActivationDType(device, dtype);
  nn::LoadWeights(*model, weights, device, dtype);
  return model;
}

void Model::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  encoder_.Visit(visitor, prefix + "encoder.");
  decoder_.Visit(visitor, prefix + "decoder.");
}

void Model::Encode(Context& ctx, ConstView picture, View h) const {
  encoder_.Forward(ctx, picture, h);
}

void Model::Decode(Context& ctx, ConstView summed, View picture,
                   const autoencoder::Tiling& tiling) const {
  autoencoder::DecodePicture(ctx, decoder_, activation_, summed, tiling, picture);
}

size_t Model::EncodeArenaBytes(const Shape& picture) const {
  const MapSize size = LatentSize(picture[2], picture[3]);
  const Shape h = {picture[0], size.height, size.width, config_.codebook_dim};
  return DryRun([&](Context& ctx, Arena& outside) {
    Encode(ctx, outside.Alloc(picture, DType::kF32), outside.Alloc(h, DType::kF32));
  });
}

size_t Model::DecodeArenaBytes(const Shape& summed, const autoencoder::Tiling& tiling) const {
  return DryRun([&](Context& ctx, Arena& outside) {
    Decode(ctx, outside.Alloc(summed, DType::kF32),
           outside.Alloc(PictureShape(summed), DType::kF32), tiling);
  });
}

}  // namespace gesso::bsq_vae
