// Recomputes the cases of VAR's tokenizer, whole and its quantiser alone.
#include "models/vqvae/model.h"

#include "models/nn/load.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

// A map [B, H, W, C] as the case stores it: [B, C, H, W].
ConstView ChannelsFirst(ConstView map) { return map.Permute({0, 3, 1, 2}); }

// Encodes f on the configured maps and compares tokens and their sum, which it returns.
Tensor CompareEncoded(Context& ctx, ParityCase& parity_case, const vqvae::Quantizer& quantizer,
                      const Tensor& f) {
  const int64_t count = quantizer.config().tokens();
  Tensor tokens({f.shape()[0], count}, DType::kI32);
  Tensor f_hat(f.shape(), DType::kF32);
  quantizer.Encode(ctx, f, quantizer.config().Maps(), tokens.mutable_view(), f_hat.mutable_view());
  parity_case.Compare("out/tokens", tokens);
  parity_case.Compare("out/f_hat", Cast(ChannelsFirst(f_hat), DType::kF32));
  return tokens;
}

// Decodes tokens to f_hat, which it returns, and compares the inputs for teacher forcing.
Tensor CompareDecoded(Context& ctx, ParityCase& parity_case, const vqvae::Quantizer& quantizer,
                      const Tensor& tokens) {
  const vqvae::QuantizerConfig& config = quantizer.config();
  const int64_t batch = tokens.shape()[0];
  const vqvae::MapSize& last = config.Maps().back();
  const int64_t first = config.Maps().front().tokens();
  Tensor f_hat({batch, last.height, last.width, config.z_channels}, DType::kF32);
  Tensor inputs({batch, config.tokens() - first, config.z_channels}, DType::kF32);
  quantizer.Decode(ctx, tokens, config.Maps(), f_hat.mutable_view(), inputs.mutable_view());
  parity_case.Compare("out/x_BLCv_wo_first_l", inputs);
  return f_hat;
}

}  // namespace

void VerifyVqvae(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto model =
      vqvae::Model::Load(parity_case.ModelWeights(), vqvae::ParseConfig(parity_case.config()),
                         options.device, options.dtype);
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  const Tensor& image = parity_case.At("in/image");
  Require(image.shape().rank() == 4, ErrorKind::kShape, "in/image: expected [B, C, H, W], got {}",
          image.shape().ToString());
  const vqvae::MapSize size = model->LatentSize(image.shape()[2], image.shape()[3]);
  const int64_t z = model->config().quantizer.z_channels;
  Tensor f({image.shape()[0], size.height, size.width, z}, DType::kF32);
  model->Encode(tapped, image, f.mutable_view());
  const Tensor tokens = CompareEncoded(tapped, parity_case, model->quantizer(), f);
  Tensor f_hat(f.shape(), DType::kF32);
  model->quantizer().Decode(ctx, tokens, model->config().quantizer.Maps(), f_hat.mutable_view());
  Tensor picture(image.shape(), DType::kF32);
  model->Decode(ctx, f_hat, picture.mutable_view());
  parity_case.Compare("out/image_rec", picture);

  const Tensor decoded = CompareDecoded(tapped, parity_case, model->quantizer(),
                                        Cast(parity_case.At("in/tokens_dec"), DType::kI32));
  parity_case.Compare("out/f_hat_dec", Cast(ChannelsFirst(decoded), DType::kF32));
  const int64_t stride = model->config().decoder.stride();
  const Shape& s = decoded.shape();
  Tensor from_tokens({s[0], image.shape()[1], s[1] * stride, s[2] * stride}, DType::kF32);
  model->Decode(ctx, decoded, from_tokens.mutable_view());
  parity_case.Compare("out/image_dec", from_tokens);
}

void VerifyMultiscaleVq(Context& ctx, ParityCase& parity_case) {
  vqvae::Quantizer quantizer(vqvae::ParseQuantizerConfig(parity_case.config()));
  nn::LoadWeights(quantizer, parity_case.ModelWeights(), parity_case.options().device, DType::kF32);
  quantizer.Pack(parity_case.options().device);
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  const Tensor& stored = parity_case.At("in/f");
  Require(stored.shape().rank() == 4, ErrorKind::kShape, "in/f: expected [B, Z, h, w], got {}",
          stored.shape().ToString());
  const Tensor f = Cast(stored.view().Permute({0, 2, 3, 1}), DType::kF32);
  const Tensor tokens = CompareEncoded(tapped, parity_case, quantizer, f);
  CompareDecoded(ctx, parity_case, quantizer, tokens);
}

}  // namespace gesso
