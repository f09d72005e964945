// Infinity's visual tokenizer: pictures to maps of bits of growing size and back. Const once
// loaded.
//
// Han et al. 2024, "Infinity: Scaling Bitwise AutoRegressive Modeling for High-Resolution Image
// Synthesis". Official: FoundationVision/Infinity
// infinity/models/bsq_vae/flux_vqgan.py:AutoEncoder.
#pragma once

#include <memory>

#include "models/autoencoder/decoder.h"
#include "models/autoencoder/encoder.h"
#include "models/autoencoder/tiled.h"
#include "models/bsq_vae/quantizer.h"
#include "models/io/weights.h"

namespace gesso::bsq_vae {

class Model {
 public:
  explicit Model(const Config& config);

  // Builds the tokenizer that `config` describes and fills it. Takes published files, whose weights
  // lie under "vae.", plain ones, and names without the wrappers' ".conv" and ".norm". The decoder
  // computes in `dtype`; the encoder, which decides bits, in float32. Throws kConfig, kUnsupported,
  // or kFormat naming the tensors that do not fit.
  static std::shared_ptr<const Model> Load(Weights weights, const Json& config, Device device,
                                           DType dtype);

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);

  const Config& config() const { return config_; }
  // Height and width of h of a picture. Throws kUsage where a side does not halve evenly.
  MapSize LatentSize(int64_t height, int64_t width) const {
    return encoder_.LatentSize(height, width);
  }

  // Shape [B, C, H, W] of the picture of summed codes [B, h, w, D].
  Shape PictureShape(const Shape& summed) const { return decoder_.PictureShape(summed); }

  // picture [B, C, H, W] f32 in [-1, 1] to h [B, h, w, D] f32, which EncodeBits quantises.
  void Encode(Context& ctx, ConstView picture, View h) const;
  // Summed codes [B, h, w, D] f32 to picture [B, C, H, W] f32, clamped to [-1, 1]. With a `tiling`
  // it goes tile by tile: see autoencoder::DecodeTiled.
  void Decode(Context& ctx, ConstView summed, View picture,
              const autoencoder::Tiling& tiling = {}) const;

  // Bytes of arena that Encode needs for pictures of this shape, and Decode for such summed codes.
  size_t EncodeArenaBytes(const Shape& picture) const;
  size_t DecodeArenaBytes(const Shape& summed, const autoencoder::Tiling& tiling = {}) const;

 private:
  Config config_;
  DType activation_ = DType::kF32;  // of what the decoder's convolutions read
  autoencoder::Encoder encoder_;
  autoencoder::Decoder decoder_;
};

}  // namespace gesso::bsq_vae
