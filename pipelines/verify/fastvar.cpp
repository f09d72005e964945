// Recomputes the cases of FastVAR: its op, a block of Infinity, and VAR sampled under it.
#include "cache/tokens/fastvar.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "kernels/resize.h"
#include "kernels/token.h"
#include "kernels/token_pruning.h"
#include "models/bsq_vae/config.h"
#include "models/infinity/config.h"
#include "models/infinity/rotary.h"
#include "models/next_scale/block.h"
#include "models/nn/load.h"
#include "models/var/session.h"
#include "pipelines/codebook_scale_model.h"
#include "pipelines/verify/next_scale.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

constexpr int64_t kMaxLayers = 1024;

// The scale whose map is this wide.
int64_t ScaleOfWidth(std::span<const TokenMap> schedule, int64_t width) {
  for (size_t scale = 0; scale < schedule.size(); ++scale) {
    if (schedule[scale].width == width) return static_cast<int64_t>(scale);
  }
  Fail(ErrorKind::kConfig, "no scale is {} tokens wide", width);
}

// The official settings name scales by their width.
cache::FastVarPlan PlanOf(const Json& json, std::span<const TokenMap> schedule,
                          int64_t cached_width) {
  cache::FastVarPlan plan;
  plan.cached_scale = ScaleOfWidth(schedule, cached_width);
  plan.prune_ratio.assign(schedule.size(), 0);
  plan.skipped.assign(schedule.size(), false);
  const auto ratios = Get<Json>(json, "prune_ratio");
  Require(ratios.is_object(), ErrorKind::kConfig, "field 'prune_ratio' is not a JSON object");
  for (const auto& item : ratios.items()) {
    int64_t width = 0;
    std::from_chars(item.key().data(), item.key().data() + item.key().size(), width);
    const int64_t scale = ScaleOfWidth(schedule, width);
    plan.prune_ratio[static_cast<size_t>(scale)] = GetNumber(ratios, item.key(), 0, 1);
  }
  for (const int64_t width : Get<std::vector<int64_t>>(json, "skip_scales", {})) {
    plan.skipped[static_cast<size_t>(ScaleOfWidth(schedule, width))] = true;
  }
  const auto layers = Get<std::vector<int64_t>>(json, "layers");
  Require(layers.size() == 2 && layers[0] >= 0 && layers[0] <= layers[1] && layers[1] <= kMaxLayers,
          ErrorKind::kConfig, "field 'layers' must be [first, end] within 0..{}", kMaxLayers);
  plan.first_layer = layers[0];
  plan.end_layer = layers[1];
  return plan;
}

}  // namespace

void VerifyFastVar(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto model = LoadVar(parity_case, "var");
  const auto quantizer = LoadQuantizer(parity_case);
  std::vector<TokenMap> schedule;
  for (int64_t scale = 0; scale < model->scales(); ++scale) schedule.push_back(model->map(scale));
  const Json settings = Get<Json>(parity_case.config(), "fastvar");
  const cache::FastVarPlan plan = PlanOf(settings, schedule, Get<int64_t>(settings, "cached_size"));
  const Tensor& known = parity_case.At("in/label_sample");
  const Tensor labels = GuidedLabels(known, model->config.num_classes);
  ForEachGuidance(parity_case, [&](double cfg, const std::string& suffix) {
    CodebookScaleModel<var::Session> scale_model(
        var::Session(model, labels.view().numel(), std::make_unique<cache::FastVar>(plan)),
        CodeSum(quantizer, options.device, known.view().numel()),
        [&](Context& c, var::Session& session) { session.Begin(c, {.labels = labels}); });
    // In bfloat16 other tokens are kept where scores are close, and their logits are other ones.
    CompareSampling(ctx, parity_case, scale_model, cfg, suffix, options.dtype == DType::kF32);
    const ConstView f_hat = scale_model.codes().f_hat();
    parity_case.Compare("out/f_hat" + suffix, Cast(f_hat.Permute({0, 3, 1, 2}), DType::kF32));
  });
}

void VerifyCachedTokenPruning(Context& ctx, ParityCase& parity_case) {
  const Tensor& x = parity_case.At("in/x");
  const auto size = Get<std::vector<int64_t>>(parity_case.config(), "cur_hw");
  const auto cached_size = Get<std::vector<int64_t>>(parity_case.config(), "cached_hw");
  Require(size.size() == 2 && cached_size.size() == 2 && x.shape().rank() == 3, ErrorKind::kConfig,
          "cur_hw and cached_hw must be [height, width], in/x [B, L, C]");
  const int64_t batch = x.shape()[0];
  const int64_t tokens = x.shape()[1];
  const int64_t width = x.shape()[2];
  const double ratio = GetNumber(parity_case.config(), "ratio", 0, 1);
  const int64_t kept = tokens - static_cast<int64_t>(static_cast<double>(tokens) * ratio);
  Tensor score({batch, tokens}, DType::kF32);
  TokenDistance(ctx, {.x = x, .score = score.mutable_view()});
  ParityTap(parity_case).Record("score", score);
  Tensor ids({batch, kept}, DType::kI32);
  TopTokens(ctx, {.score = score, .by_score = true, .ids = ids.mutable_view()});
  parity_case.Compare("out/indices", ids);
  Tensor merged({batch, kept, width}, DType::kF32);
  SelectTokens(ctx, {.x = x, .ids = ids, .out = merged.mutable_view()});
  parity_case.Compare("out/merged", merged);
  Tensor restored(x.shape(), DType::kF32);
  Resize(ctx, {.x = parity_case.At("in/cached")
                        .view()
                        .Reshape({batch, cached_size[0], cached_size[1], width}),
               .resampling = Resampling::kArea,
               .out = restored.mutable_view().Reshape({batch, size[0], size[1], width})});
  SelectTokens(ctx, {.x = parity_case.At("in/kept_output"),
                     .ids = ids,
                     .inverse = true,
                     .out = restored.mutable_view()});
  parity_case.Compare("out/restored", restored);
}

namespace {

// Infinity's block with its own share of adaLN, as the case has it.
struct InfinityBlock {
  explicit InfinityBlock(const next_scale::BlockConfig& config)
      : width(config.attention.width), block(config) {}

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
    visitor.Plain(prefix + "ada_gss", {1, 1, 6, width}, nn::Role::kParameter, ada_gss);
    block.Visit(visitor, prefix);
  }

  int64_t width;
  Tensor ada_gss;
  next_scale::Block block;
};

next_scale::BlockConfig InfinityBlockConfig(const Json& json) {
  next_scale::BlockConfig config;
  const auto width = GetInt(json, "embed_dim", 1, 1 << 15);
  const auto heads = GetInt(json, "num_heads", 1, width);
  Require(width % (4 * heads) == 0, ErrorKind::kConfig,
          "embed_dim {} does not give {} heads of a multiple of 4 channels", width, heads);
  infinity::CheckBlockVariant(json);  // and tau does nothing then: it is of dot-product attention
  const auto norm = Get<std::string>(json, "norm", "layernorm");
  Require(norm == "layernorm", ErrorKind::kUnsupported, "norm '{}' is not supported (layernorm)",
          norm);
  Require(Get<bool>(json, "apply_rope2d"), ErrorKind::kUnsupported,
          "apply_rope2d false is not supported");
  config.attention = {.width = width, .heads = heads, .l2_norm = true};
  config.ff_width = infinity::FeedForwardWidth(json, width);
  config.norm_eps = static_cast<float>(GetNumber(json, "norm_eps", 0, 1));
  config.text_width = GetInt(json, "kv_dim", 1, 1 << 15);
  config.ca_gamma = GetNumber(json, "cross_attn_layer_scale", -1e6, 1e6) >= 0;
  config.self_attention = "sa";
  return config;
}

// Texts [R, longest, C] and their mask, of rows that lie behind each other.
struct PaddedText {
  Tensor states;
  Tensor mask;
};

// The case's texts in `count` rows.
PaddedText PadText(const ParityCase& parity_case, int64_t count) {
  const Tensor rows = Cast(parity_case.At("in/text_kv"), DType::kF32);
  const auto lengths = Get<std::vector<int64_t>>(parity_case.config(), "text_lens");
  const auto width = Get<int64_t>(parity_case.config(), "kv_dim");
  int64_t left = rows.shape().rank() == 2 && rows.shape()[1] == width ? rows.shape()[0] : -1;
  for (const int64_t length : lengths) left = length >= 1 && length <= left ? left - length : -1;
  Require(std::ssize(lengths) == count && left == 0, ErrorKind::kShape,
          "in/text_kv: {} is not what text_lens [{}] and kv_dim {} ask for, with a text for each "
          "of {} rows",
          rows.shape(), fmt::join(lengths, ", "), width, count);
  const int64_t longest = *std::ranges::max_element(lengths);
  PaddedText text{Tensor({count, longest, width}, DType::kF32),
                  Tensor({count, longest}, DType::kI32)};
  const float* from = rows.Data<float>();
  for (int64_t row = 0; row < count; ++row) {
    const int64_t length = lengths[static_cast<size_t>(row)];
    std::copy_n(from, length * width, text.states.MutableData<float>() + row * longest * width);
    std::fill_n(text.mask.MutableData<int32_t>() + row * longest, length, 1);
    from += length * width;
  }
  return text;
}

// adaLN of the block [R, 6C]: shared part and the block's own.
Tensor ModulationOf(const ParityCase& parity_case, const Tensor& own) {
  const Tensor shared = Cast(parity_case.At("in/cond_gss"), DType::kF32);
  const Shape& s = shared.shape();
  Require(s.rank() == 4 && s[0] >= 1 && Shape({1, s[1], s[2], s[3]}) == own.shape(),
          ErrorKind::kShape, "in/cond_gss: expected {} a row, got {}", own.shape(), s);
  Tensor sum({s[0], own.view().numel()}, DType::kF32);
  for (int64_t i = 0; i < sum.view().numel(); ++i) {
    sum.MutableData<float>()[i] =
        shared.Data<float>()[i] + own.Data<float>()[i % own.view().numel()];
  }
  return sum;
}

// Shows the cached branches under the names of the case: "cache24_self_attn".
class CacheTap : public Tap {
 public:
  CacheTap(ParityCase& parity_case, int64_t layer, int64_t width)
      : tap_(parity_case),
        attention_(fmt::format("cache_block{}_attn", layer)),
        reference_(fmt::format("cache{}_self_attn", width)) {}
  void Record(std::string_view name, ConstView value) override {
    if (name == attention_) tap_.Record(reference_, value);
  }

 private:
  ParityTap tap_;
  std::string attention_;
  std::string reference_;
};

}  // namespace

void VerifyFastVarInfinityBlock(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const Json& json = parity_case.config();
  InfinityBlock model(InfinityBlockConfig(json));
  nn::LoadWeights(model, parity_case.ModelWeights(), options.device, options.dtype);
  model.block.Prepare();
  std::vector<TokenMap> schedule;
  for (const bsq_vae::MapSize& map : bsq_vae::ParseSchedule(json, "scale_schedule")) {
    schedule.push_back({.height = map.height, .width = map.width});
  }
  const auto cached = Get<std::vector<int64_t>>(json, "cached_size");
  Require(cached.size() == 2, ErrorKind::kConfig, "field 'cached_size' must be [h, w]");
  cache::FastVar hooks(PlanOf(json, schedule, cached[1]));
  const auto layer = GetInt(json, "layer_idx", 0, kMaxLayers - 1);
  const auto heads = Get<int64_t>(json, "num_heads");
  hooks.Begin(schedule, std::max(layer + 1, Get<std::vector<int64_t>>(json, "layers").back()));

  const DType activation = ActivationDType(options.device, options.dtype);
  const Tensor modulation = ModulationOf(parity_case, model.ada_gss);
  const int64_t rows = modulation.shape()[0];
  const PaddedText text = PadText(parity_case, rows);
  Tensor keys =
      Tensor::Unwritten({rows, text.states.shape()[1], model.block.text_keys_width()}, activation);
  model.block.TextKeys(ctx, text.states, keys.mutable_view());
  nn::KvCache kv(rows, heads, model.width / heads, hooks.CacheCapacity(layer, 0), activation);
  CacheTap tap(parity_case, layer, cached[1]);
  Context tapped = ctx;
  tapped.tap = &tap;
  for (size_t scale = 0; scale < schedule.size(); ++scale) {
    const std::string name = fmt::format("_{}", schedule[scale].width);
    if (!parity_case.Has("in/x" + name)) continue;
    Tensor x = Cast(parity_case.At("in/x" + name), DType::kF32);
    const Shape expected = {rows, schedule[scale].tokens(), model.width};
    Require(x.shape() == expected, ErrorKind::kShape, "in/x{}: expected {}, got {}", name, expected,
            x.shape());
    const infinity::Rotary angles =
        infinity::MakeRotary({&schedule[scale], 1}, schedule.back(), model.width / heads);
    model.block.Forward(
        {.ctx = tapped,
         .activation = activation,
         .hooks = &hooks,
         .scale = static_cast<int64_t>(scale),
         .map = schedule[scale],
         .cos = angles.cos,
         .sin = angles.sin},
        layer, {.modulation = modulation, .cache = &kv, .text_keys = keys, .text_mask = text.mask},
        x.mutable_view());
    parity_case.Compare("out/y" + name, x);
  }
  if (parity_case.Has("mid/cached_k_len")) {
    Tensor length({1}, DType::kI32);
    length.MutableData<int32_t>()[0] = static_cast<int32_t>(kv.size());
    parity_case.Compare("mid/cached_k_len", length);
  }
}

}  // namespace gesso
