// Recomputes the cases of Infinity: whole pictures, bit by bit, and the choice of bits alone.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/elementwise.h"
#include "kernels/sample.h"
#include "models/autoencoder/decoder.h"
#include "models/bsq_vae/config.h"
#include "models/infinity/codes.h"
#include "models/nn/load.h"
#include "pipelines/infinity_scale_model.h"
#include "pipelines/verify/pictures.h"
#include "pipelines/verify/systems.h"
#include "samplers/next_scale/sampler.h"

namespace gesso {

namespace {

constexpr std::string_view kTokenizer = "vae.";

// What the case asks for.
struct Plan {
  std::vector<TokenMap> maps;
  TokenMap reference;
  int64_t pictures = 1;
  std::vector<double> cfg;  // by scale
  std::vector<double> tau;  // by scale
  int64_t gt_leak = 0;      // scales whose bits are given
  bool guides_logits = false;
  std::vector<int64_t> guided_layers;

  bool is_guided() const {
    return std::ranges::any_of(cfg, [](double value) { return value != 1; });
  }
};

Plan PlanOf(const Json& config) {
  Plan plan;
  for (const bsq_vae::MapSize& map : bsq_vae::ParseSchedule(config, "scale_schedule")) {
    plan.maps.push_back({map.height, map.width});
  }
  const auto reference = Get<std::vector<int64_t>>(config, "rope_reference_hw");
  Require(reference.size() == 2, ErrorKind::kConfig, "field 'rope_reference_hw' is not [h, w]");
  plan.reference = {reference[0], reference[1]};
  plan.pictures = GetInt(config, "B", 1, 1 << 10);
  plan.cfg = Get<std::vector<double>>(config, "cfg_list");
  plan.tau = Get<std::vector<double>>(config, "tau_list");
  Require(plan.cfg.size() == plan.maps.size() && plan.tau.size() == plan.maps.size(),
          ErrorKind::kConfig, "cfg_list and tau_list need a value for each of the {} scales",
          plan.maps.size());
  plan.gt_leak = GetInt(config, "gt_leak", 0, static_cast<int64_t>(plan.maps.size()), 0);
  Require(Get<int64_t>(config, "top_k") == 1, ErrorKind::kUnsupported,
          "recorded pictures are greedy: top_k must be 1");
  for (const int64_t layer : Get<std::vector<int64_t>>(config, "cfg_insertion_layer")) {
    const auto depth = Get<int64_t>(config, "depth");
    Require(layer <= 0 && layer > -depth, ErrorKind::kUnsupported,
            "cfg_insertion_layer {} is not supported (0, or -n for the n-th block from the end)",
            layer);
    plan.guides_logits = plan.guides_logits || layer == 0;
    // Without guidance at any scale there is nothing to mix inside the network either.
    if (layer < 0 && plan.is_guided()) plan.guided_layers.push_back(depth + layer);
  }
  return plan;
}

// The rows of all prompts, [sum of lengths, channels] behind each other, one by one.
std::vector<ConstView> Prompts(const ParityCase& parity_case, const std::string& name) {
  if (!parity_case.Has(name)) return {};
  const Tensor& rows = parity_case.At(name);
  const Tensor lengths = Cast(parity_case.At(name + "_lens"), DType::kI32);
  std::vector<ConstView> prompts;
  int64_t begin = 0;
  for (int64_t i = 0; i < lengths.shape().numel(); ++i) {
    const int64_t length = lengths.Data<int32_t>()[i];
    Require(rows.shape().rank() == 2 && length >= 0 && begin + length <= rows.shape()[0],
            ErrorKind::kShape, "{}: has {} rows, {}_lens asks for more", name, rows.shape()[0],
            name);
    prompts.push_back(rows.view().Slice(0, begin, begin + length));
    begin += length;
  }
  return prompts;
}

// Compares the guided logits of scale after scale, and what ParityTap knows.
class LogitsTap : public ParityTap {
 public:
  LogitsTap(ParityCase& parity_case, int64_t bits)
      : ParityTap(parity_case), case_(parity_case), bits_(bits) {}

  void Record(std::string_view name, ConstView value) override {
    if (name != "guided_logits") return ParityTap::Record(name, value);
    const int64_t pictures = value.shape[0];
    case_.Compare(fmt::format("out/logits.{}", scale_++),
                  value.Reshape({pictures, value.numel() / (2 * bits_ * pictures), bits_, 2}));
  }

 private:
  ParityCase& case_;
  int64_t bits_;
  int64_t scale_ = 0;
};

// Tokens that the case gives, in the order of NextScaleRun::tokens.
struct Given {
  Tensor tokens;
  Tensor keep;
};

// The recorded bits [B, 1, h, w, codebook_dim] of a scale.
ConstView RecordedBits(const Tensor& bits, const Plan& plan, const infinity::Config& config,
                       size_t scale) {
  const TokenMap codes = infinity::CodeMap(config, plan.maps[scale]);
  const Shape recorded = {plan.pictures, 1, codes.height, codes.width, config.codebook_dim};
  Require(bits.shape() == recorded && bits.dtype() == DType::kU8, ErrorKind::kShape,
          "bits of scale {}: expected uint8 {}, got {} {}", scale, recorded, NameOf(bits.dtype()),
          bits.shape());
  return bits.view().Reshape({plan.pictures, codes.height, codes.width, config.codebook_dim});
}

Given GivenOf(Context& ctx, ParityCase& parity_case, const Plan& plan,
              const infinity::Config& config) {
  int64_t all = 0;
  for (const TokenMap& map : plan.maps) all += map.tokens() * config.bits();
  Given given = {.tokens = Tensor({plan.pictures, all}, DType::kI32),
                 .keep = Tensor({plan.pictures, all}, DType::kI32)};
  int64_t first = 0;
  for (size_t scale = 0; scale < plan.maps.size(); ++scale) {
    const bool leaks = static_cast<int64_t>(scale) < plan.gt_leak;
    const int64_t count = plan.maps[scale].tokens() * config.bits();
    if (leaks || parity_case.TakesChoices()) {
      const std::string name = fmt::format("out/bits.{}", scale);
      const Tensor& bits = parity_case.TakesChoices()
                               ? parity_case.TakeChoice(name)
                               : parity_case.At(fmt::format("in/gt_bits.{}", scale));
      Tensor tokens({plan.pictures, count}, DType::kI32);
      infinity::BitsToTokens(ctx, config, plan.maps[scale], RecordedBits(bits, plan, config, scale),
                             tokens.mutable_view());
      for (int64_t b = 0; b < plan.pictures; ++b) {
        std::copy_n(tokens.Data<int32_t>() + b * count, count,
                    given.tokens.MutableData<int32_t>() + b * all + first);
        std::fill_n(given.keep.MutableData<int32_t>() + b * all + first, count, 1);
      }
    }
    first += count;
  }
  return given;
}

void CompareBits(Context& ctx, ParityCase& parity_case, const Plan& plan,
                 const infinity::Config& config, const NextScaleStep& step) {
  const TokenMap& map = plan.maps[static_cast<size_t>(step.scale)];
  const TokenMap codes = infinity::CodeMap(config, map);
  Tensor bits({plan.pictures, 1, codes.height, codes.width, config.codebook_dim}, DType::kU8);
  infinity::TokensToBits(
      ctx, config, map, step.tokens,
      bits.mutable_view().Reshape({plan.pictures, codes.height, codes.width, config.codebook_dim}));
  parity_case.Compare(fmt::format("out/bits.{}", step.scale), bits);
}

// With one bit's two values left there is nothing to draw.
class NoDraws : public TokenNoise {
 public:
  void Uniforms(int64_t, std::span<double> out) const override { std::ranges::fill(out, 0.0); }
  void Gumbel(int64_t, View) const override {
    Fail(ErrorKind::kInternal, "greedy sampling asks for no Gumbel noise");
  }
};

void Sample(Context& ctx, ParityCase& parity_case, const Plan& plan, const infinity::Config& config,
            InfinityScaleModel& model) {
  LogitsTap tap(parity_case, config.bits());
  Context tapped = ctx;
  tapped.tap = &tap;
  const Given given = GivenOf(ctx, parity_case, plan, config);
  Tensor tokens(given.tokens.shape(), DType::kI32);
  const std::vector<double> none(plan.cfg.size(), 1.0);
  SampleNextScale(tapped, {.model = model,
                           .options = {.guidance = plan.guides_logits ? plan.cfg : none,
                                       .temperature = plan.tau,
                                       .top_k = 1},
                           .noise = NoDraws(),
                           .tokens = tokens.mutable_view(),
                           .given = {.tokens = given.tokens, .keep = given.keep},
                           .observer = [&](const NextScaleStep& step) {
                             if (!parity_case.TakesChoices())
                               CompareBits(ctx, parity_case, plan, config, step);
                           }});
}

// [cos | sin, token, head_dim / 2] of the last map.
void CompareRotary(ParityCase& parity_case, const Plan& plan, int64_t head_dim) {
  const auto rotary = infinity::MakeRotary(std::span(plan.maps).last(1), plan.reference, head_dim);
  const Shape& one = rotary.cos.shape();
  Tensor both({2, one[0], one[1]}, DType::kF32);
  std::copy_n(rotary.cos.Data<float>(), one.numel(), both.MutableData<float>());
  std::copy_n(rotary.sin.Data<float>(), one.numel(), both.MutableData<float>() + one.numel());
  parity_case.Compare("mid/rope_last_scale", both);
}

// The decoding half of the tokenizer, which is all that the cases hold.
struct TokenizerDecoder {
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
    decoder.Visit(visitor, prefix + "decoder.");
  }
  autoencoder::Decoder decoder;
};

void DecodePicture(Context& ctx, ParityCase& parity_case, const Tensor& summed) {
  const VerifyOptions& options = parity_case.options();
  const auto config = bsq_vae::ParseConfig(Get<Json>(parity_case.config(), "vae"));
  TokenizerDecoder tokenizer = {autoencoder::Decoder(config.decoder)};
  nn::LoadWeights(tokenizer, parity_case.ModelWeights().Under(kTokenizer), options.device,
                  options.dtype);
  Tensor picture(tokenizer.decoder.PictureShape(summed.shape()), DType::kF32);
  tokenizer.decoder.Forward(ctx, ActivationDType(options.device, options.dtype), summed,
                            picture.mutable_view());
  const Term pixels = {1, picture};
  LinearCombination(ctx,
                    {.terms = {&pixels, 1}, .low = -1, .high = 1, .out = picture.mutable_view()});
  ComparePicture(parity_case, picture);
}

}  // namespace

void VerifyInfinity(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const infinity::Config config = infinity::ParseConfig(parity_case.config());
  const Plan plan = PlanOf(parity_case.config());
  Weights weights = parity_case.ModelWeights();
  std::erase_if(weights.tensors,
                [](const auto& item) { return item.first.starts_with(kTokenizer); });
  const auto model = infinity::Load(weights, config, options.device, options.dtype);
  const infinity::TextBatch texts =
      infinity::MakeTextBatch(*model, Prompts(parity_case, "in/text"),
                              Prompts(parity_case, "in/neg_text"), plan.is_guided());
  infinity::Session session(model,
                            {.maps = plan.maps,
                             .reference = plan.reference,
                             .rows = plan.is_guided() ? 2 * plan.pictures : plan.pictures,
                             .guidance = {.layers = plan.guided_layers, .scales = plan.cfg}});
  InfinityScaleModel scale_model(std::move(session), texts, plan.is_guided());
  Sample(ctx, parity_case, plan, config, scale_model);
  CompareRotary(parity_case, plan, config.head_dim());
  const Tensor summed = Cast(scale_model.summed(), DType::kF32);
  CompareMap(parity_case, "out/summed_codes", summed);
  if (Get<Json>(parity_case.config(), "vae", Json()).is_null()) return;
  DecodePicture(ctx, parity_case, summed);
}

void VerifyInfinitySampling(Context& ctx, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const Tensor cond = Cast(parity_case.At("in/logits_cond"), DType::kF32);
  const Tensor uncond = Cast(parity_case.At("in/logits_uncond"), DType::kF32);
  Require(cond.shape().rank() == 3 && cond.shape()[2] % 2 == 0 && uncond.shape() == cond.shape(),
          ErrorKind::kShape, "in/logits: {} and {} are not [B, L, 2 bits]", cond.shape(),
          uncond.shape());
  const auto cfg = Get<double>(config, "cfg");
  const auto tau = Get<double>(config, "tau");
  Require(tau > 0, ErrorKind::kConfig, "field 'tau': {} is not positive", tau);
  const Shape by_bit = {cond.shape()[0], cond.shape()[1] * cond.shape()[2] / 2, 2};
  Tensor logits(by_bit, DType::kF32);
  const std::array<Term, 2> guided = {
      {{static_cast<float>(cfg / tau), cond.view().Reshape(by_bit)},
       {static_cast<float>((1 - cfg) / tau), uncond.view().Reshape(by_bit)}}};
  LinearCombination(ctx, {.terms = guided, .out = logits.mutable_view()});
  const int64_t rows = by_bit[0] * by_bit[1];
  const Tensor uniforms = Cast(parity_case.At("in/uniforms"), DType::kF64);
  Require(uniforms.shape().numel() == rows, ErrorKind::kShape, "in/uniforms: {} for {} bits",
          uniforms.shape(), rows);
  Tensor bits({cond.shape()[0], cond.shape()[1], cond.shape()[2] / 2}, DType::kI32);
  SampleTokens(ctx, {.logits = logits.mutable_view().Reshape({rows, 2}),
                     .top_k = Get<int64_t>(config, "top_k"),
                     .top_p = Get<double>(config, "top_p"),
                     .uniforms = {uniforms.Data<double>(), static_cast<size_t>(rows)},
                     .tokens = bits.mutable_view().Reshape({rows})});
  Tensor probs(by_bit, DType::kF64);
  for (int64_t i = 0; i < rows; ++i) {
    const double odds = std::exp(static_cast<double>(logits.Data<float>()[2 * i + 1]) -
                                 static_cast<double>(logits.Data<float>()[2 * i]));
    probs.MutableData<double>()[2 * i] = 1 / (1 + odds);
    probs.MutableData<double>()[2 * i + 1] = 1 - 1 / (1 + odds);
  }
  parity_case.Compare("out/probs", probs);
  parity_case.Compare("out/bits", bits);
}

}  // namespace gesso
