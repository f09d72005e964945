#include "pipelines/verify/next_scale.h"

#include <algorithm>
#include <array>

#include "kernels/elementwise.h"
#include "models/nn/load.h"

namespace gesso {

namespace {

// Tensors [B, N_i, ...] behind each other along dimension 1.
Tensor Concatenate(const std::vector<Tensor>& parts) {
  CHECK(!parts.empty());
  Shape shape = parts.front().shape();
  int64_t length = 0;
  for (const Tensor& part : parts) length += part.shape()[1];
  shape.Set(1, length);
  Tensor all(shape, DType::kF32);
  float* to = all.MutableData<float>();
  for (int64_t b = 0; b < shape[0]; ++b) {
    for (const Tensor& part : parts) {
      const int64_t count = part.view().numel() / shape[0];
      to = std::copy_n(part.Data<float>() + b * count, count, to);
    }
  }
  return all;
}

// Shows what a model computes to a tap, its guided logits too, and gives the recorded ones to
// whoever asks.
class RecordedLogits : public ScaleModel {
 public:
  RecordedLogits(ScaleModel& model, std::vector<double> guidance, const Tensor& recorded, Tap& tap)
      : model_(model), guidance_(std::move(guidance)), recorded_(recorded), tap_(tap) {
    int64_t count = 0;  // of the scales that run
    for (int64_t scale = 0; scale < model.scales(); ++scale) {
      if (model.Runs(scale)) count += model.tokens(scale) * model.choices().units;
    }
    const Shape expected = {model.pictures(), count, model.choices().values};
    Require(recorded.shape() == expected, ErrorKind::kShape,
            "mid/guided_logits: expected {}, got {}", expected, recorded.shape());
  }

  int64_t pictures() const override { return model_.pictures(); }
  int64_t scales() const override { return model_.scales(); }
  int64_t tokens(int64_t scale) const override { return model_.tokens(scale); }
  TokenChoices choices() const override { return model_.choices(); }
  bool Runs(int64_t scale) const override { return model_.Runs(scale); }
  void Begin(Context& ctx) override { model_.Begin(ctx); }
  void Commit(Context& ctx, int64_t scale, ConstView tokens) override {
    model_.Commit(ctx, scale, tokens);
  }
  void CommitMixture(Context& ctx, int64_t scale, ConstView weights) override {
    model_.CommitMixture(ctx, scale, weights);
  }
  std::unique_ptr<ScaleModel> Fork(std::span<const int64_t>) const override {
    Fail(ErrorKind::kUnsupported, "recorded logits belong to one run");
  }

  void Logits(Context& ctx, int64_t scale, View logits) override {
    Context tapped = ctx;
    tapped.tap = &tap_;
    model_.Logits(tapped, scale, logits);
    const int64_t batch = pictures();
    const View conditional = logits.Slice(0, 0, batch);
    const auto guidance = static_cast<float>(guidance_[static_cast<size_t>(scale)]);
    if (logits.shape[0] > batch) {
      const std::array<Term, 2> mix = {
          {{guidance, conditional}, {1 - guidance, logits.Slice(0, batch, 2 * batch)}}};
      LinearCombination(ctx, {.terms = mix, .out = conditional});
    }
    tapped.Show("guided_logits", conditional);
    const int64_t count = logits.shape[1];
    const Tensor reference = Cast(recorded_.view().Slice(1, first_, first_ + count), DType::kF32);
    first_ += count;
    for (int64_t b = 0; b < logits.shape[0]; b += batch) {
      std::copy_n(reference.Data<float>(), reference.view().numel(),
                  logits.Slice(0, b, b + batch).Data<float>());
    }
  }

 private:
  ScaleModel& model_;
  std::vector<double> guidance_;
  const Tensor& recorded_;
  Tap& tap_;
  int64_t first_ = 0;
};

// The tokens of the scales that ran.
Tensor ExecutedTokens(const ScaleModel& model, const Tensor& tokens) {
  std::vector<int32_t> kept;
  for (int64_t b = 0; b < model.pictures(); ++b) {
    for (int64_t scale = 0; scale < model.scales(); ++scale) {
      if (!model.Runs(scale)) continue;
      const int32_t* from =
          tokens.Data<int32_t>() + b * tokens.shape()[1] + ChoicesBefore(model, scale);
      kept.insert(kept.end(), from, from + model.tokens(scale));
    }
  }
  Tensor executed({model.pictures(), static_cast<int64_t>(kept.size()) / model.pictures()},
                  DType::kI32);
  std::ranges::copy(kept, executed.MutableData<int32_t>());
  return executed;
}

std::unique_ptr<TokenNoise> RecordedNoise(const ParityCase& parity_case, int64_t pictures) {
  const auto find = [&](const std::string& name) {
    return parity_case.Has(name) ? parity_case.At(name) : Tensor();
  };
  Tensor uniforms = find("in/uniforms");
  // Greedy cases draw nothing that matters.
  if (uniforms.empty()) {
    return std::make_unique<PhiloxTokenNoise>(
        std::vector<uint64_t>(static_cast<size_t>(pictures), 0));
  }
  return std::make_unique<ReplayTokenNoise>(std::move(uniforms), find("in/gumbel_noise"));
}

}  // namespace

void SequenceTap::Record(std::string_view name, ConstView value) {
  values_[std::string(name)].push_back(Cast(value, DType::kF32));
}

void SequenceTap::Compare(ParityCase& parity_case, const std::string& prefix,
                          const std::string& suffix) const {
  for (const auto& [name, parts] : values_) {
    const std::string reference = "mid/" + prefix + name + suffix;
    if (parity_case.Has(reference)) parity_case.Compare(reference, Concatenate(parts));
  }
}

std::shared_ptr<const var::Model> LoadVar(const ParityCase& parity_case, const std::string& name) {
  const VerifyOptions& options = parity_case.options();
  Weights weights = parity_case.ModelWeights().Under(name + ".");
  const var::Config config = var::ParseConfig(Get<Json>(parity_case.config(), name), weights);
  return var::Load(std::move(weights), config, options.device, options.dtype);
}

std::shared_ptr<const vqvae::Quantizer> LoadQuantizer(const ParityCase& parity_case) {
  auto quantizer = std::make_shared<vqvae::Quantizer>(
      vqvae::ParseQuantizerConfig(Get<Json>(parity_case.config(), "vae")));
  const Device device = parity_case.options().device;
  nn::LoadWeights(*quantizer, parity_case.ModelWeights().Under("vae.quantize."), device,
                  DType::kF32);
  quantizer->Pack(device);
  return quantizer;
}

Tensor GuidedLabels(const Tensor& labels, int64_t none) {
  const int64_t pictures = labels.view().numel();
  Tensor both({2 * pictures}, DType::kI32);
  const Tensor known = Cast(labels, DType::kI32);
  int32_t* to = std::copy_n(known.Data<int32_t>(), pictures, both.MutableData<int32_t>());
  std::fill_n(to, pictures, static_cast<int32_t>(none));
  return both;
}

void CompareForward(
    ParityCase& parity_case, const std::vector<int64_t>& patch_nums, int64_t vocab_size,
    const std::function<void(int64_t scale, ConstView input, View logits)>& forward) {
  const Tensor& inputs = parity_case.At("in/x_BLCv_wo_first_l");
  const int64_t pictures = inputs.shape()[0];
  std::vector<Tensor> logits;
  int64_t first = -patch_nums.front() * patch_nums.front();  // the first scale has no input
  for (size_t scale = 0; scale < patch_nums.size(); ++scale) {
    const int64_t tokens = patch_nums[scale] * patch_nums[scale];
    const Tensor input =
        scale == 0 ? Tensor() : Cast(inputs.view().Slice(1, first, first + tokens), DType::kF32);
    logits.emplace_back(Shape({pictures, tokens, vocab_size}), DType::kF32);
    forward(static_cast<int64_t>(scale), input, logits.back().mutable_view());
    first += tokens;
  }
  parity_case.Compare("out/logits", Concatenate(logits));
}

void CompareSampling(Context& ctx, ParityCase& parity_case, ScaleModel& model, double cfg,
                     const std::string& suffix, bool compare_logits) {
  const Json sampling = Get<Json>(parity_case.config(), "sampling");
  const NextScaleOptions options = {.guidance = RampedGuidance(cfg, model.scales()),
                                    .top_k = Get<int64_t>(sampling, "top_k"),
                                    .top_p = Get<double>(sampling, "top_p"),
                                    .more_smooth = Get<bool>(sampling, "more_smooth")};
  Tensor tokens({model.pictures(), ChoicesBefore(model, model.scales())}, DType::kI32);
  const std::unique_ptr<TokenNoise> noise = RecordedNoise(parity_case, model.pictures());
  SequenceTap tap;
  if (parity_case.options().dtype == DType::kF32) {
    Context tapped = ctx;
    tapped.tap = &tap;
    SampleNextScale(
        tapped,
        {.model = model, .options = options, .noise = *noise, .tokens = tokens.mutable_view()});
  } else {
    RecordedLogits recorded(model, options.guidance, parity_case.At("mid/guided_logits" + suffix),
                            tap);
    SampleNextScale(
        ctx,
        {.model = recorded, .options = options, .noise = *noise, .tokens = tokens.mutable_view()});
  }
  if (!compare_logits) tap.Forget("guided_logits");
  tap.Compare(parity_case, "", suffix);
  parity_case.Compare("out/tokens" + suffix, ExecutedTokens(model, tokens));
}

void ForEachGuidance(const ParityCase& parity_case,
                     const std::function<void(double, const std::string&)>& body) {
  const Json sampling = Get<Json>(parity_case.config(), "sampling");
  const auto values = Get<std::vector<double>>(sampling, "cfg");
  for (const double cfg : values) {
    body(cfg, values.size() == 1 ? std::string() : fmt::format("_cfg{:g}", cfg));
  }
}

}  // namespace gesso
