#include "models/hdit/layers.h"

#include "kernels/attention.h"
#include "kernels/rope.h"
#include "models/nn/heads.h"

namespace gesso::hdit {

namespace {

// Of self-attention, from its norm to its result. In bfloat16 they would make the error of a pass
// 1.6 times as large, more than parity allows: the softmax of scores as steep as a Hourglass DiT's
// multiplies the errors of queries and keys.
constexpr DType kAttention = DType::kF32;

// [B, Y, X, C] as [B, Y * X, C]
template <class AnyView>
AnyView Tokens(AnyView grid) {
  return grid.Reshape({grid.shape[0], grid.shape[1] * grid.shape[2], grid.shape[3]});
}

View AllocLike(const Pass& pass, ConstView x, int64_t channels, DType dtype) {
  Shape shape = x.shape;
  shape.Set(-1, channels);
  return pass.ctx.arena->Alloc(shape, dtype);
}

}  // namespace

int64_t AdaptiveNorms::Add(const std::string& name, int64_t width) {
  parts.push_back({name, width});
  const int64_t row = rows;
  rows += width;
  return row;
}

RmsNormArgs AdaRmsNorm::Of(const Pass& pass, ConstView x, DType dtype) const {
  return {.x = Tokens(x),
          .scale = pass.ada_scales.Slice(1, row_, row_ + width_),
          .scale_offset = 1,
          .eps = kEps,
          .out = Tokens(AllocLike(pass, x, width_, dtype))};
}

SelfAttention::SelfAttention(const SelfAttentionConfig& config, int64_t width, int64_t index)
    : config_(config),
      heads_(width / config.d_head),
      shift_(index % 2 == 1 ? config.window_size / 2 : 0),
      norm_(width),
      qkv_proj_(3 * width, width),
      out_proj_(width, width) {}

void SelfAttention::Visit(nn::ParameterVisitor& visitor, const std::string& prefix,
                          AdaptiveNorms& norms) {
  norm_.Visit(prefix + "norm.", norms);
  qkv_proj_.Visit(visitor, prefix + "qkv_proj.");
  out_proj_.Visit(visitor, prefix + "out_proj.");
  visitor.Plain(prefix + "scale", {heads_}, nn::Role::kParameter, scale_);
  visitor.Plain(prefix + "pos_emb.freqs", {heads_, config_.d_head / 8}, nn::Role::kBuffer, freqs_);
}

void SelfAttention::Attend(const Pass& pass, ConstView qkv, View out) const {
  const bool grid = config_.kind != AttentionKind::kGlobal;
  const ConstView tokens = grid ? qkv : Tokens(qkv);
  const int last = tokens.shape.rank() - 1;
  const int64_t width = tokens.shape[last] / 3;
  const auto part = [&](int64_t i) {
    return nn::SplitHeads(tokens.Slice(last, i * width, (i + 1) * width), heads_);
  };
  const View heads = nn::SplitHeads(grid ? out : Tokens(out), heads_);
  const Factors factors = pass.activation == DType::kBF16 ? Factors::kRounded : Factors::kWhole;
  switch (config_.kind) {
    case AttentionKind::kGlobal:
      return Attention(pass.ctx, {.q = part(0),
                                  .k = part(1),
                                  .v = part(2),
                                  .bias = {},
                                  .key_mask = {},
                                  .scale = 1,
                                  .out = heads,
                                  .factors = factors});
    case AttentionKind::kNeighborhood:
      return NeighborhoodAttention(pass.ctx, {.q = part(0),
                                              .k = part(1),
                                              .v = part(2),
                                              .kernel_size = config_.kernel_size,
                                              .scale = 1,
                                              .out = heads,
                                              .factors = factors});
    case AttentionKind::kShiftedWindow:
      return WindowAttention(pass.ctx, {.q = part(0),
                                        .k = part(1),
                                        .v = part(2),
                                        .window = config_.window_size,
                                        .shift = shift_,
                                        .scale = 1,
                                        .out = heads,
                                        .factors = factors});
    case AttentionKind::kNone:
      CHECK(false);
  }
}

void SelfAttention::Forward(const Pass& pass, const RotaryTable& table, View x) const {
  const Arena::Scope scope(*pass.ctx.arena);
  const View qkv = AllocLike(pass, x, qkv_proj_.out_features(), kAttention);
  {
    const Arena::Scope norm_scope(*pass.ctx.arena);
    qkv_proj_.Forward(pass.ctx, norm_.Of(pass, x, kAttention), qkv);
  }
  const int64_t width = out_proj_.in_features();
  const View queries_and_keys = Tokens(qkv).Slice(2, 0, 2 * width);
  Rope(pass.ctx, {.x = nn::SplitHeads(queries_and_keys, 2 * heads_),
                  .scale = scale_,
                  .eps = kEps,
                  .cos = table.cos,
                  .sin = table.sin});
  const View attended = AllocLike(pass, x, width, kAttention);
  Attend(pass, qkv, attended);
  out_proj_.Forward(pass.ctx, attended, x, x);
}

CrossAttention::CrossAttention(int64_t d_head, int64_t width, int64_t context_width)
    : heads_(width / d_head),
      norm_(width),
      q_proj_(width, width),
      kv_proj_(2 * width, context_width),
      out_proj_(width, width) {}

void CrossAttention::Visit(nn::ParameterVisitor& visitor, const std::string& prefix,
                           AdaptiveNorms& norms) {
  norm_.Visit(prefix + "norm.", norms);
  q_proj_.Visit(visitor, prefix + "q_proj.");
  kv_proj_.Visit(visitor, prefix + "kv_proj.");
  out_proj_.Visit(visitor, prefix + "out_proj.");
  visitor.Plain(prefix + "scale", {heads_}, nn::Role::kParameter, scale_);
}

Tensor CrossAttention::TextKeys(Context& ctx, DType activation, ConstView context) const {
  Tensor keys =
      Tensor::Unwritten({context.shape[0], context.shape[1], kv_proj_.out_features()}, activation);
  const View kv = keys.mutable_view();
  kv_proj_.Forward(ctx, context, kv);
  const View k = kv.Slice(2, 0, q_proj_.out_features());
  Rope(ctx, {.x = nn::SplitHeads(k, heads_), .scale = scale_, .eps = kEps, .cos = {}, .sin = {}});
  return keys;
}

void CrossAttention::Forward(const Pass& pass, ConstView kv, ConstView mask, View x) const {
  const Arena::Scope scope(*pass.ctx.arena);
  const int64_t width = q_proj_.out_features();
  const View q = Tokens(AllocLike(pass, x, width, pass.activation));
  {
    const Arena::Scope norm_scope(*pass.ctx.arena);
    q_proj_.Forward(pass.ctx, norm_.Of(pass, x, pass.activation), q);
  }
  const View q_heads = nn::SplitHeads(q, heads_);
  Rope(pass.ctx, {.x = q_heads, .scale = scale_, .eps = kEps, .cos = {}, .sin = {}});
  const View attended = Tokens(AllocLike(pass, x, width, pass.activation));
  Attention(pass.ctx, {.q = q_heads,
                       .k = nn::SplitHeads(kv.Slice(2, 0, width), heads_),
                       .v = nn::SplitHeads(kv.Slice(2, width, 2 * width), heads_),
                       .bias = {},
                       .key_mask = mask,
                       .scale = 1,
                       .out = nn::SplitHeads(attended, heads_)});
  out_proj_.Forward(pass.ctx, attended, Tokens(x), Tokens(x));
}

FeedForward::FeedForward(int64_t width, int64_t d_ff)
    : norm_(width), up_proj_(d_ff, width, Activation::kGeluErf), down_proj_(width, d_ff) {}

void FeedForward::Visit(nn::ParameterVisitor& visitor, const std::string& prefix,
                        AdaptiveNorms& norms) {
  norm_.Visit(prefix + "norm.", norms);
  up_proj_.Visit(visitor, prefix + "up_proj.");
  down_proj_.Visit(visitor, prefix + "down_proj.");
}

void FeedForward::Forward(const Pass& pass, View x) const {
  const Arena::Scope scope(*pass.ctx.arena);
  const View hidden = AllocLike(pass, x, up_proj_.out_features(), pass.activation);
  {
    const Arena::Scope norm_scope(*pass.ctx.arena);
    up_proj_.Forward(pass.ctx, norm_.Of(pass, x, pass.activation), hidden);
  }
  down_proj_.Forward(pass.ctx, hidden, x, x);
}

void Layer::Visit(nn::ParameterVisitor& visitor, const std::string& prefix, AdaptiveNorms& norms) {
  if (self_attn) self_attn->Visit(visitor, prefix + "self_attn.", norms);
  if (cross_attn) cross_attn->Visit(visitor, prefix + "cross_attn.", norms);
  ff.Visit(visitor, prefix + "ff.", norms);
}

std::vector<Layer> MakeLayers(const LevelConfig& level, int64_t context_width,
                              int64_t first_index) {
  std::vector<Layer> layers;
  for (int64_t i = 0; i < level.depth; ++i) {
    Layer layer{.self_attn = {}, .cross_attn = {}, .ff = FeedForward(level.width, level.d_ff)};
    if (level.self_attn.kind != AttentionKind::kNone) {
      layer.self_attn.emplace(level.self_attn, level.width, first_index + i);
    }
    if (level.cross_attn_d_head) {
      layer.cross_attn.emplace(*level.cross_attn_d_head, level.width, context_width);
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace gesso::hdit
