#include "models/next_scale/attention.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/attention.h"
#include "kernels/heads.h"
#include "kernels/token.h"
#include "models/nn/heads.h"

namespace gesso::next_scale {

namespace {

// Part i of n of the last dimension of x [R, T, n C], as [R, T, H, C / H].
ConstView HeadsOf(ConstView x, int64_t i, int64_t n, int64_t heads) {
  const int64_t width = x.shape[2] / n;
  return nn::SplitHeads(x.Slice(2, i * width, (i + 1) * width), heads);
}

Site SiteOf(const Pass& pass, int64_t layer) {
  return {.layer = layer, .branch = Branch::kSelfAttention, .scale = pass.scale, .map = pass.map};
}

// The tokens whose queries decide which keys stay; empty: all do.
std::span<const int32_t> QueryTokens(const Pass& pass, int64_t layer) {
  if (pass.hooks == nullptr) return {};
  return pass.hooks->QueryTokens(SiteOf(pass, layer));
}

}  // namespace

SelfAttention::SelfAttention(const AttentionConfig& config)
    : config_(config),
      proj_(config.width, config.width, nn::Precision::kModel, nn::Bias::kLearned) {}

void SelfAttention::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const int64_t width = config_.width;
  const std::array<nn::MatrixPart, 1> qkv = {{{prefix + "mat_qkv.weight", 3 * width}}};
  visitor.Matrix(qkv, width, nn::Precision::kModel, qkv_);
  visitor.Plain(prefix + "q_bias", {width}, nn::Role::kParameter, q_bias_);
  visitor.Plain(prefix + "v_bias", {width}, nn::Role::kParameter, v_bias_);
  if (config_.l2_norm) {
    visitor.Plain(prefix + "scale_mul_1H11", {1, config_.heads, 1, 1}, nn::Role::kParameter,
                  scale_mul_);
  }
  proj_.Visit(visitor, prefix + "proj.");
}

void SelfAttention::Prepare() {
  const int64_t width = config_.width;
  qkv_bias_ = Tensor({3 * width}, DType::kF32);  // zeros
  std::copy_n(q_bias_.Data<float>(), width, qkv_bias_.MutableData<float>());
  std::copy_n(v_bias_.Data<float>(), width, qkv_bias_.MutableData<float>() + 2 * width);
  Upload(qkv_bias_);
  if (!config_.l2_norm) return;
  static constexpr float kLargest = 100;
  q_scale_ = Tensor({config_.heads}, DType::kF32);
  std::transform(scale_mul_.Data<float>(), scale_mul_.Data<float>() + config_.heads,
                 q_scale_.MutableData<float>(),
                 [](float log) { return std::min(std::exp(log), kLargest); });
}

void SelfAttention::Forward(const Pass& pass, int64_t layer, ConstView tokens,
                            const nn::Input& normed, nn::KvCache* cache, ConstView residual,
                            View out) const {
  Context& ctx = pass.ctx;
  const Arena::Scope scope(*ctx.arena);
  const int64_t rows = normed.shape()[0];
  const int64_t count = normed.shape()[1];
  const Shape heads = {rows, count, config_.heads, config_.width / config_.heads};
  const View qkv = ctx.arena->Alloc({rows, count, 3 * config_.width}, pass.activation);
  // Rows that are read again later, when keys are chosen, have to be there.
  const bool chooses = cache != nullptr && !pass.is_last && !QueryTokens(pass, layer).empty();
  const nn::Input input = chooses ? normed.Written(ctx) : normed;
  input.Multiply(
      ctx, LinearArgs{.x = {}, .weight = &qkv_, .bias = qkv_bias_, .residual = {}, .out = qkv});
  const View q = ctx.arena->Alloc(heads, pass.activation);
  nn::KvCache::Extension all;
  if (cache != nullptr) {
    all = cache->Extend(ctx, count);
  } else {
    all.keys = ctx.arena->Alloc(heads, pass.activation);
    all.values = ctx.arena->Alloc(heads, pass.activation);
  }
  const bool rotate = !pass.cos.empty();
  const auto third = [&](int64_t i) { return HeadsOf(qkv, i, 3, config_.heads); };
  const std::array<HeadPart, 3> parts = {{
      {.x = third(0), .normalize = config_.l2_norm, .scale = q_scale_, .rotate = rotate, .out = q},
      {.x = third(1), .normalize = config_.l2_norm, .rotate = rotate, .out = all.NewKeys(count)},
      {.x = third(2), .out = all.NewValues(count)},
  }};
  PrepareHeads(ctx, {.parts = parts, .cos = pass.cos, .sin = pass.sin, .positions = tokens});
  const View attended = ctx.arena->Alloc({rows, count, config_.width}, pass.activation);
  Attention(ctx, {.q = q,
                  .k = all.keys,
                  .v = all.values,
                  .bias = {},
                  .key_mask = {},
                  .scale = config_.l2_norm ? 1 : config_.scale,
                  .out = nn::SplitHeads(attended, config_.heads)});
  proj_.Forward(ctx, attended, out, residual);
  if (cache == nullptr) return;
  if (!pass.is_last) return Retain(pass, layer, input, all, *cache);
  if (!pass.caches_stay) cache->Release();
}

// What the hooks choose of all keys, or all of them, for the scales to come.
void SelfAttention::Retain(const Pass& pass, int64_t layer, const nn::Input& normed,
                           const nn::KvCache::Extension& all, nn::KvCache& cache) const {
  const std::span<const int32_t> window = QueryTokens(pass, layer);
  if (window.empty()) return cache.Keep(all, {}, pass.ctx.device);
  Context& ctx = pass.ctx;
  const int64_t rows = normed.shape()[0];
  const int64_t count = normed.shape()[1];
  Require(count == pass.map.tokens(), ErrorKind::kUnsupported,
          "a cache can be thinned out only where a scale's tokens are all computed");
  const auto queries = static_cast<int64_t>(window.size());
  const int64_t width = config_.width;
  const View ids = ctx.arena->Alloc({rows, queries}, DType::kI32);
  if (ctx.device != Device::kMeta) {
    for (int64_t row = 0; row < rows; ++row) {
      std::ranges::transform(window, ids.Data<int32_t>() + row * queries, [&](int32_t token) {
        return token + static_cast<int32_t>(row * count);
      });
    }
  }
  const View input = ctx.arena->Alloc({rows, queries, width}, DType::kF32);
  const ConstView table = normed.Written(ctx).Reshape({rows * count, width});
  GatherRows(ctx, {.table = table, .ids = ids, .out = input});
  const View qkv = ctx.arena->Alloc({rows, queries, 3 * width}, DType::kF32);
  Linear(ctx, {.x = input, .weight = &qkv_, .bias = {}, .residual = {}, .out = qkv});
  const View q =
      ctx.arena->Alloc({rows, queries, config_.heads, width / config_.heads}, DType::kF32);
  CopyHeads(ctx, HeadsOf(qkv, 0, 3, config_.heads), q);
  const ConstView kept = pass.hooks->RetainKeys(ctx, SiteOf(pass, layer), q, all.keys);
  cache.Keep(all, kept, ctx.device);
}

CrossAttention::CrossAttention(int64_t width, int64_t heads, int64_t text_width)
    : heads_(heads),
      mat_q_(width, width, nn::Precision::kModel, nn::Bias::kLearned),
      text_width_(text_width),
      proj_(width, width, nn::Precision::kModel, nn::Bias::kLearned) {}

void CrossAttention::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const int64_t width = mat_q_.out_features();
  mat_q_.Visit(visitor, prefix + "mat_q.");
  const std::array<nn::MatrixPart, 1> kv = {{{prefix + "mat_kv.weight", 2 * width}}};
  visitor.Matrix(kv, text_width_, nn::Precision::kModel, mat_kv_);
  visitor.Plain(prefix + "v_bias", {width}, nn::Role::kParameter, v_bias_);
  proj_.Visit(visitor, prefix + "proj.");
}

void CrossAttention::Prepare() {
  const int64_t width = mat_q_.out_features();
  kv_bias_ = Tensor({2 * width}, DType::kF32);  // zeros
  std::copy_n(v_bias_.Data<float>(), width, kv_bias_.MutableData<float>() + width);
  Upload(kv_bias_);
}

void CrossAttention::TextKeys(Context& ctx, ConstView text, View kv) const {
  Linear(ctx, {.x = text, .weight = &mat_kv_, .bias = kv_bias_, .residual = {}, .out = kv});
}

void CrossAttention::Forward(const Pass& pass, const nn::Input& normed, ConstView kv,
                             ConstView mask, ConstView residual, View out) const {
  Context& ctx = pass.ctx;
  const Arena::Scope scope(*ctx.arena);
  const View q = ctx.arena->Alloc(normed.shape(), pass.activation);
  mat_q_.Forward(ctx, normed, q);
  const View attended = ctx.arena->Alloc(normed.shape(), pass.activation);
  const int64_t head_dim = normed.shape()[2] / heads_;
  Attention(ctx, {.q = nn::SplitHeads(ConstView(q), heads_),
                  .k = HeadsOf(kv, 0, 2, heads_),
                  .v = HeadsOf(kv, 1, 2, heads_),
                  .bias = {},
                  .key_mask = mask,
                  .scale = 1 / std::sqrt(static_cast<float>(head_dim)),
                  .out = nn::SplitHeads(attended, heads_)});
  proj_.Forward(ctx, attended, out, residual);
}

}  // namespace gesso::next_scale
