#include "samplers/next_scale/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/core/host_copy.h"
#include "kernels/elementwise.h"
#include "kernels/sample.h"

namespace gesso {

namespace {

double SettingAt(const std::vector<double>& settings, int64_t scale) {
  return settings.empty() ? 1 : settings[static_cast<size_t>(scale)];
}

void CheckSettings(const std::vector<double>& settings, std::string_view name, int64_t scales) {
  Require(settings.empty() || static_cast<int64_t>(settings.size()) == scales, ErrorKind::kUsage,
          "{} has {} values for {} scales", name, settings.size(), scales);
  for (const double value : settings) {
    Require(std::isfinite(value), ErrorKind::kUsage, "{} {} is not finite", name, value);
  }
}

void CheckRun(const NextScaleRun& run) {
  const NextScaleOptions& options = run.options;
  const int64_t scales = run.model.scales();
  CheckSettings(options.guidance, "guidance", scales);
  CheckSettings(options.temperature, "temperature", scales);
  for (const double value : options.temperature) {
    Require(value > 0, ErrorKind::kUsage, "temperature {} is not positive", value);
  }
  const Shape all = {run.model.pictures(), ChoicesBefore(run.model, scales)};
  Require(run.tokens.dtype == DType::kI32 && run.tokens.shape == all && run.tokens.IsContiguous(),
          ErrorKind::kShape, "tokens: expected int32 {}, got {} {}", all, NameOf(run.tokens.dtype),
          run.tokens.shape);
  Require(run.given.tokens.empty() == run.given.keep.empty(), ErrorKind::kUsage,
          "given tokens need a mask, and a mask needs given tokens");
  if (run.given.tokens.empty()) return;
  for (const ConstView& given : {run.given.tokens, run.given.keep}) {
    Require(given.dtype == DType::kI32 && given.shape == all && given.IsContiguous(),
            ErrorKind::kShape, "given tokens and mask: expected int32 {}, got {} {}", all,
            NameOf(given.dtype), given.shape);
  }
}

// Guided logits [B * choices, values], on the arena.
View GuidedLogits(Context& ctx, const NextScaleRun& run, int64_t scale) {
  const TokenChoices choices = run.model.choices();
  const int64_t pictures = run.model.pictures();
  const int64_t count = run.model.tokens(scale) * choices.units;
  const double guidance = SettingAt(run.options.guidance, scale);
  const double temperature = SettingAt(run.options.temperature, scale);
  const bool guided = guidance != 1;
  const View logits =
      ctx.arena->Alloc({(guided ? 2 : 1) * pictures, count, choices.values}, DType::kF32);
  run.model.Logits(ctx, scale, logits);
  const View conditional = logits.Slice(0, 0, pictures);
  if (guided || temperature != 1) {
    std::array<Term, 2> terms = {
        {{static_cast<float>(guidance / temperature), conditional}, {0, conditional}}};
    if (guided) {
      terms[1] = {static_cast<float>((1 - guidance) / temperature),
                  logits.Slice(0, pictures, 2 * pictures)};
    }
    LinearCombination(ctx, {.terms = std::span(terms).first(guided ? 2 : 1), .out = conditional});
  }
  ctx.Show("guided_logits", conditional);
  return conditional.Reshape({pictures * count, choices.values});
}

// Puts the given tokens in place of drawn ones; tokens [B, count] of the choices from `first` on.
void PutGiven(const GivenTokens& given, int64_t first, int64_t values, View tokens) {
  const int64_t count = tokens.shape[1];
  for (int64_t i = 0; i < tokens.numel(); ++i) {
    const int64_t at = i / count * given.tokens.shape[1] + first + i % count;
    if (given.keep.Data<int32_t>()[at] == 0) continue;
    const int32_t token = given.tokens.Data<int32_t>()[at];
    Require(token >= 0 && token < values, ErrorKind::kUsage,
            "given token {} is none of the model's 0 to {}", token, values - 1);
    tokens.Data<int32_t>()[i] = token;
  }
}

// Given tokens take the whole weight.
void PutGivenWeights(const GivenTokens& given, int64_t first, ConstView tokens, View weights) {
  const int64_t count = tokens.shape[1];
  const int64_t values = weights.shape[-1];
  for (int64_t i = 0; i < tokens.numel(); ++i) {
    const int64_t at = i / count * given.tokens.shape[1] + first + i % count;
    if (given.keep.Data<int32_t>()[at] == 0) continue;
    float* row = weights.Data<float>() + i * values;
    std::fill_n(row, values, 0.0f);
    row[tokens.Data<int32_t>()[i]] = 1;
  }
}

// Copies the tokens of a scale to those of all, where they begin at `first`.
void StoreTokens(ConstView tokens, int64_t first, View all) {
  const int64_t count = tokens.shape[1];
  const HostCopy drawn(tokens);
  const auto* const from = drawn.view().Data<int32_t>();
  Require(std::find(from, from + tokens.numel(), kNoToken) == from + tokens.numel(),
          ErrorKind::kFormat, "the logits are not finite: the model's weights are broken");
  for (int64_t b = 0; b < tokens.shape[0]; ++b) {
    std::copy_n(from + b * count, count, all.Data<int32_t>() + b * all.shape[1] + first);
  }
}

// Adds softmax-weighted mixtures of codes, sharper from scale to scale. `logits` are filtered.
void CommitSmooth(Context& ctx, const NextScaleRun& run, int64_t scale, int64_t first, View logits,
                  ConstView tokens) {
  const int64_t scales = run.model.scales();
  const Shape shape = {tokens.shape[0], tokens.shape[1], logits.shape[1]};
  const double ratio =
      scales == 1 ? 0 : static_cast<double>(scale) / static_cast<double>(scales - 1);
  const View gumbel = ctx.arena->Alloc(shape, DType::kF32);
  const bool real = ctx.device != Device::kMeta;
  if (real) run.noise.Gumbel(first, gumbel);
  GumbelSoftmax(ctx, {.logits = logits,
                      .gumbel = gumbel.Reshape(logits.shape),
                      .gain = static_cast<float>(1 + ratio),
                      .tau = static_cast<float>(std::max(0.27 * (1 - 0.95 * ratio), 0.005)),
                      .weights = logits});
  const View weights = logits.Reshape(shape);
  if (real && !run.given.tokens.empty()) PutGivenWeights(run.given, first, tokens, weights);
  run.model.CommitMixture(ctx, scale, weights);
}

void SampleScale(Context& ctx, const NextScaleRun& run, int64_t scale) {
  const Arena::Scope scope(*ctx.arena);
  const View logits = GuidedLogits(ctx, run, scale);
  const int64_t pictures = run.model.pictures();
  const int64_t count = logits.shape[0] / pictures;
  const int64_t first = ChoicesBefore(run.model, scale);
  const View tokens = ctx.arena->Alloc({pictures, count}, DType::kI32);
  const bool real = ctx.device != Device::kMeta;
  // In the host's own memory, drawn while a device is still busy with the logits.
  std::vector<double> uniforms(static_cast<size_t>(logits.shape[0]));
  if (real) run.noise.Uniforms(first, uniforms);
  WithContext(fmt::format("{}: scale {}", run.source, scale), [&] {
    SampleTokens(ctx, {.logits = logits,
                       .top_k = run.options.top_k,
                       .top_p = run.options.top_p,
                       .uniforms = uniforms,
                       .tokens = tokens.Reshape({logits.shape[0]})});
    if (real && !run.given.tokens.empty()) PutGiven(run.given, first, logits.shape[1], tokens);
    if (real) StoreTokens(tokens, first, run.tokens);
  });
  if (run.options.more_smooth) {
    CommitSmooth(ctx, run, scale, first, logits, tokens);
  } else {
    run.model.Commit(ctx, scale, tokens);
  }
  if (run.observer) {
    run.observer({.scale = scale, .scales = run.model.scales(), .tokens = tokens});
  }
}

}  // namespace

std::vector<double> RampedGuidance(double cfg, int64_t scales) {
  std::vector<double> guidance(static_cast<size_t>(scales), 1);
  for (size_t k = 1; k < guidance.size(); ++k) {
    guidance[k] += cfg * static_cast<double>(k) / static_cast<double>(scales - 1);
  }
  return guidance;
}

int64_t ChoicesBefore(const ScaleModel& model, int64_t scale) {
  int64_t sum = 0;
  for (int64_t k = 0; k < scale; ++k) sum += model.tokens(k) * model.choices().units;
  return sum;
}

void SampleScales(Context& ctx, const NextScaleRun& run, int64_t begin, int64_t end) {
  CheckRun(run);
  for (int64_t scale = begin; scale < end; ++scale) {
    if (run.model.Runs(scale)) SampleScale(ctx, run, scale);
  }
}

void SampleNextScale(Context& ctx, const NextScaleRun& run) {
  run.model.Begin(ctx);
  SampleScales(ctx, run, 0, run.model.scales());
}

}  // namespace gesso
