#include "models/vqvae/model.h"

#include "kernels/core/dry_run.h"
#include "models/nn/load.h"

namespace gesso::vqvae {

Model::Model(const Config& config)
    : config_(config),
      encoder_(config.encoder),
      quant_conv_(config.quantizer.z_channels, config.quantizer.z_channels,
                  config.quant_conv_kernel, nn::Precision::kFull),
      quantizer_(config.quantizer),
      post_quant_conv_(config.quantizer.z_channels, config.quantizer.z_channels,
                       config.quant_conv_kernel, nn::Precision::kModel),
      decoder_(config.decoder) {}

std::shared_ptr<const Model> Model::Load(Weights weights, const Config& config, Device device,
                                         DType dtype) {
  auto model = std::make_shared<Model>(config);
  weights.tensors.erase("quantize.ema_vocab_hit_SV");  // how often the training met each code
  model->activation_ = ActivationDType(device, dtype);
  nn::LoadWeights(*model, weights, device, dtype);
  model->quantizer_.Pack(device);
  return model;
}

void Model::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  encoder_.Visit(visitor, prefix + "encoder.");
  quant_conv_.Visit(visitor, prefix + "quant_conv.");
  quantizer_.Visit(visitor, prefix + "quantize.");
  post_quant_conv_.Visit(visitor, prefix + "post_quant_conv.");
  decoder_.Visit(visitor, prefix + "decoder.");
}

void Model::Encode(Context& ctx, ConstView picture, View f) const {
  const Arena::Scope scope(*ctx.arena);
  const View latents = ctx.arena->Alloc(f.shape, DType::kF32);
  encoder_.Forward(ctx, picture, latents);
  ctx.Show("encoder_out", ConstView(latents).Permute({0, 3, 1, 2}));
  quant_conv_.Forward(ctx, latents, f);
  ctx.Show("f", ConstView(f).Permute({0, 3, 1, 2}));
}

void Model::Decode(Context& ctx, ConstView f_hat, View picture,
                   const autoencoder::Tiling& tiling) const {
  const Arena::Scope scope(*ctx.arena);
  const View latents = ctx.arena->Alloc(f_hat.shape, DType::kF32);
  post_quant_conv_.Forward(ctx, f_hat, latents);
  autoencoder::DecodePicture(ctx, decoder_, activation_, latents, tiling, picture);
}

size_t Model::EncodeArenaBytes(const Shape& picture) const {
  const MapSize size = LatentSize(picture[2], picture[3]);
  const Shape f = {picture[0], size.height, size.width, config_.quantizer.z_channels};
  return DryRun([&](Context& ctx, Arena& outside) {
    Encode(ctx, outside.Alloc(picture, DType::kF32), outside.Alloc(f, DType::kF32));
  });
}

size_t Model::DecodeArenaBytes(const Shape& f_hat, const autoencoder::Tiling& tiling) const {
  return DryRun([&](Context& ctx, Arena& outside) {
    Decode(ctx, outside.Alloc(f_hat, DType::kF32), outside.Alloc(PictureShape(f_hat), DType::kF32),
           tiling);
  });
}

}  // namespace gesso::vqvae
