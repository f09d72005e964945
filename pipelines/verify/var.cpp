// Recomputes the cases of VAR and M-VAR: teacher-forced logits, and pictures sampled token by
// token.
#include <algorithm>

#include "models/autoencoder/decoder.h"
#include "models/nn/load.h"
#include "models/var/session.h"
#include "pipelines/codebook_scale_model.h"
#include "pipelines/verify/next_scale.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

// The tokenizer's way back to a picture: the cases leave its encoder out.
struct PictureDecoder {
  explicit PictureDecoder(const vqvae::Config& config)
      : post_quant_conv(config.quantizer.z_channels, config.quantizer.z_channels,
                        config.quant_conv_kernel, nn::Precision::kModel),
        decoder(config.decoder) {}

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
    post_quant_conv.Visit(visitor, prefix + "post_quant_conv.");
    decoder.Visit(visitor, prefix + "decoder.");
  }

  nn::Conv2d post_quant_conv;
  autoencoder::Decoder decoder;
};

// The picture [B, 3, H, W] in [0, 1] of f_hat [B, h, w, Z].
Tensor DecodePicture(Context& ctx, const ParityCase& parity_case, ConstView f_hat) {
  const VerifyOptions& options = parity_case.options();
  PictureDecoder model(vqvae::ParseConfig(Get<Json>(parity_case.config(), "vae")));
  Weights weights = parity_case.ModelWeights().Under("vae.");
  std::erase_if(weights.tensors,
                [](const auto& item) { return item.first.starts_with("quantize."); });
  nn::LoadWeights(model, weights, options.device, options.dtype);
  const Arena::Scope scope(*ctx.arena);
  const View latents = ctx.arena->Alloc(f_hat.shape, DType::kF32);
  model.post_quant_conv.Forward(ctx, f_hat, latents);
  Tensor picture(model.decoder.PictureShape(f_hat.shape), DType::kF32);
  model.decoder.Forward(ctx, ActivationDType(options.device, options.dtype), latents,
                        picture.mutable_view());
  float* values = picture.MutableData<float>();
  for (int64_t i = 0; i < picture.shape().numel(); ++i) {
    values[i] = (std::clamp(values[i], -1.0f, 1.0f) + 1) / 2;
  }
  return picture;
}

void CompareTeacherForced(Context& ctx, ParityCase& parity_case,
                          const std::shared_ptr<const var::Model>& model) {
  const Tensor labels = Cast(parity_case.At("in/label_B"), DType::kI32);
  SequenceTap tap;
  Context tapped = ctx;
  tapped.tap = &tap;
  var::Session session(model, labels.view().numel());
  session.Begin(tapped, {.labels = labels});
  CompareForward(parity_case, model->config.patch_nums, model->config.vocab_size,
                 [&](int64_t scale, ConstView input, View logits) {
                   session.Forward(tapped, scale, input, logits);
                 });
  tap.Compare(parity_case, "fwd_", "");
}

}  // namespace

void VerifyVar(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const std::string& name = parity_case.system();  // "var" or "mvar", also in the case
  const auto model = LoadVar(parity_case, name);
  if (parity_case.Has("out/logits")) CompareTeacherForced(ctx, parity_case, model);
  const auto quantizer = LoadQuantizer(parity_case);
  const Tensor& known = parity_case.At("in/label_sample");
  const Tensor labels = GuidedLabels(known, model->config.num_classes);
  ForEachGuidance(parity_case, [&](double cfg, const std::string& suffix) {
    CodebookScaleModel<var::Session> scale_model(
        var::Session(model, labels.view().numel()),
        CodeSum(quantizer, options.device, known.view().numel(), true),
        [&](Context& c, var::Session& session) { session.Begin(c, {.labels = labels}); });
    CompareSampling(ctx, parity_case, scale_model, cfg, suffix);
    const ConstView f_hat = scale_model.codes().f_hat();
    parity_case.Compare("out/f_hat" + suffix, Cast(f_hat.Permute({0, 3, 1, 2}), DType::kF32));
    if (parity_case.Has("out/image" + suffix)) {
      parity_case.Compare("out/image" + suffix, DecodePicture(ctx, parity_case, f_hat));
    }
  });
}

}  // namespace gesso
