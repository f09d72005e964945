// VAR's tokenizer: pictures to token maps of growing size and back. Const once loaded.
//
// Tian et al. 2024, "Visual Autoregressive Modeling: Scalable Image Generation via Next-Scale
// Prediction". Official: FoundationVision/VAR models/vqvae.py:VQVAE.
#pragma once

#include <memory>

#include "models/autoencoder/decoder.h"
#include "models/autoencoder/encoder.h"
#include "models/autoencoder/tiled.h"
#include "models/io/weights.h"
#include "models/vqvae/quantizer.h"

namespace gesso::vqvae {

class Model {
 public:
  explicit Model(const Config& config);

  // Builds the tokenizer that `config` describes and fills it. The decoder computes in `dtype`; the
  // encoder, which decides tokens, in float32. Statistics of the training are left aside. Throws
  // kFormat naming the tensors that do not fit.
  static std::shared_ptr<const Model> Load(Weights weights, const Config& config, Device device,
                                           DType dtype);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);

  const Config& config() const { return config_; }
  // Token by token: what a sampling loop needs. Its f_hat goes to Decode.
  const Quantizer& quantizer() const { return quantizer_; }
  // Height and width of f of a picture. Throws kUsage where a side does not halve evenly.
  MapSize LatentSize(int64_t height, int64_t width) const {
    return encoder_.LatentSize(height, width);
  }

  // Shape [B, C, H, W] of the picture of an f_hat [B, h, w, Z].
  Shape PictureShape(const Shape& f_hat) const { return decoder_.PictureShape(f_hat); }

  // picture [B, C, H, W] f32 in [-1, 1] to f [B, h, w, Z] f32. Shows "encoder_out" and "f".
  void Encode(Context& ctx, ConstView picture, View f) const;
  // f_hat [B, h, w, Z] f32 to picture [B, C, H, W] f32, clamped to [-1, 1]. With a `tiling` it goes
  // tile by tile: see autoencoder::DecodeTiled.
  void Decode(Context& ctx, ConstView f_hat, View picture,
              const autoencoder::Tiling& tiling = {}) const;

  // Bytes of arena that Encode needs for pictures of this shape, and Decode for such an f_hat.
  size_t EncodeArenaBytes(const Shape& picture) const;
  size_t DecodeArenaBytes(const Shape& f_hat, const autoencoder::Tiling& tiling = {}) const;

 private:
  Config config_;
  DType activation_ = DType::kF32;  // of what the decoder's convolutions read
  autoencoder::Encoder encoder_;
  nn::Conv2d quant_conv_;
  Quantizer quantizer_;
  nn::Conv2d post_quant_conv_;
  autoencoder::Decoder decoder_;
};

}  // namespace gesso::vqvae
