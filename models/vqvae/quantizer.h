// The multi-scale residual quantiser of VAR: a latent map as token maps of growing size, each of
// which codes what the smaller ones left over. All in float32, channels last.
//
// Official: FoundationVision/VAR models/quant.py:VectorQuantizer2. S scales; scale k has a token
// map [h_k, w_k], flattened row by row; the maps lie one behind the other, L tokens in all.
#pragma once

#include <span>

#include "kernels/nearest_code.h"
#include "models/vqvae/config.h"

namespace gesso::vqvae {

class Quantizer {
 public:
  explicit Quantizer(const QuantizerConfig& config) : config_(config) {}

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);
  // Packs what Visit has filled; the quantiser is const from then on.
  void Pack(Device device);

  const QuantizerConfig& config() const { return config_; }
  const Tensor& codebook() const { return codebook_; }  // [V, Z] f32

  // Which phi scale `scale` of `scales` uses, the one whose tick is nearest.
  int64_t PhiIndex(int64_t scale, int64_t scales) const;

  // f_hat [B, H, W, Z] += phi(bicubic(codes)); scale 0 sets it instead. codes [B, h, w, Z] of scale
  // `scale` of `scales`: rows of the codebook, or mixtures of them. Where h, w are H, W nothing is
  // resized.
  void Accumulate(Context& ctx, int64_t scale, int64_t scales, ConstView codes, View f_hat) const;
  // The same for tokens [B, h * w] i32 of a map of this size; rows may be strided. Throws kShape
  // for a token outside the codebook.
  void AccumulateTokens(Context& ctx, int64_t scale, int64_t scales, ConstView tokens, MapSize map,
                        View f_hat) const;
  // What a transformer gets to predict the next scale from: next [B, h, w, Z] = area(f_hat).
  void NextInput(Context& ctx, ConstView f_hat, View next) const;

  // Tokens [B, L] i32 of f [B, H, W, Z] on `maps`, the last of which is H x W, and their sum f_hat
  // [B, H, W, Z]. Shows "f_hat_after_scale<k>".
  void Encode(Context& ctx, ConstView f, std::span<const MapSize> maps, View tokens,
              View f_hat) const;
  // f_hat [B, H, W, Z] of tokens [B, L] i32 on `maps`; H x W may differ from the last map. `inputs`
  // [B, L - L_0, Z], unless empty, gets the input of every scale but the first as NextInput gives
  // it: teacher forcing. Shows "f_hat_dec_after_scale<k>".
  void Decode(Context& ctx, ConstView tokens, std::span<const MapSize> maps, View f_hat,
              View inputs = {}) const;

 private:
  // phi(h) = (1 - r) h + r (conv3x3(h) + bias), as one convolution.
  struct Phi {
    Tensor weight;  // [Z, Z, 3, 3]
    Tensor bias;    // [Z]
    PackedKernel kernel;
    Tensor folded_bias;
  };

  void CheckMaps(ConstView tokens, std::span<const MapSize> maps, ConstView f_hat) const;
  void LookUp(Context& ctx, ConstView tokens, View codes) const;

  QuantizerConfig config_;
  Tensor codebook_;
  PackedCodebook search_;
  std::vector<Phi> phis_;
};

}  // namespace gesso::vqvae
