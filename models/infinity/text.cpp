#include "models/infinity/text.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention.h"
#include "models/nn/heads.h"

namespace gesso::infinity {

namespace {

// Float32: the whole network hangs on the text, and it is small.
nn::Linear FullLinear(int64_t out, int64_t in) {
  return {out, in, nn::Precision::kFull, nn::Bias::kLearned};
}

}  // namespace

TextConditioner::TextConditioner(const Config& config)
    : width_(config.embed_dim),
      heads_(config.pool_heads()),
      text_maxlen_(config.text_maxlen),
      norm_(config.text_channels, static_cast<float>(config.norm_eps)),
      pool_proj_(FullLinear(config.embed_dim, config.embed_dim)),
      states_in_(FullLinear(config.embed_dim, config.text_channels)),
      states_out_(FullLinear(config.embed_dim, config.embed_dim)) {}

void TextConditioner::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const int64_t text_channels = states_in_.in_features();
  visitor.Plain(prefix + "cfg_uncond", {text_maxlen_, text_channels}, nn::Role::kParameter,
                cfg_uncond_);
  norm_.Visit(visitor, prefix + "text_norm.weight");
  const std::string pool = prefix + "text_proj_for_sos.ca.";
  visitor.Plain(pool + "mat_q", {1, heads_, width_ / heads_}, nn::Role::kParameter, pool_query_);
  const std::array<nn::MatrixPart, 1> kv = {{{pool + "mat_kv.weight", 2 * width_}}};
  visitor.Matrix(kv, text_channels, nn::Precision::kFull, pool_kv_);
  visitor.Plain(pool + "v_bias", {width_}, nn::Role::kParameter, pool_v_bias_);
  pool_proj_.Visit(visitor, pool + "proj.");
  states_in_.Visit(visitor, prefix + "text_proj_for_ca.0.");
  states_out_.Visit(visitor, prefix + "text_proj_for_ca.2.");
}

void TextConditioner::Prepare() {
  pool_kv_bias_ = Tensor({2 * width_}, DType::kF32);  // zeros
  std::copy_n(pool_v_bias_.Data<float>(), width_, pool_kv_bias_.MutableData<float>() + width_);
}

void TextConditioner::Forward(Context& ctx, ConstView text, ConstView mask, View cond,
                              View states) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t rows = text.shape[0];
  const int64_t length = text.shape[1];
  const View normed = ctx.arena->Alloc(text.shape, DType::kF32);
  norm_.Forward(ctx, text, normed);

  const View kv = ctx.arena->Alloc({rows, length, 2 * width_}, DType::kF32);
  Linear(ctx, {.x = normed, .weight = &pool_kv_, .bias = pool_kv_bias_, .residual = {}, .out = kv});
  ConstView query = pool_query_.view().Reshape({1, 1, heads_, width_ / heads_});
  query.shape.Set(0, rows);
  query.strides[0] = 0;  // the same for all texts
  const View pooled = ctx.arena->Alloc({rows, 1, width_}, DType::kF32);
  const auto half = [&](int64_t i) {
    return nn::SplitHeads(ConstView(kv).Slice(2, i * width_, (i + 1) * width_), heads_);
  };
  Attention(ctx, {.q = query,
                  .k = half(0),
                  .v = half(1),
                  .bias = {},
                  .key_mask = mask,
                  .scale = 1 / std::sqrt(static_cast<float>(width_ / heads_)),
                  .out = nn::SplitHeads(pooled, heads_)});
  pool_proj_.Forward(ctx, pooled.Reshape({rows, width_}), cond);

  const View hidden = ctx.arena->Alloc({rows, length, width_}, DType::kF32);
  states_in_.Forward(ctx, normed, hidden, {}, Activation::kGeluTanh);
  states_out_.Forward(ctx, hidden, states);
}

}  // namespace gesso::infinity
