#include "models/next_scale/block.h"

#include "kernels/elementwise.h"

namespace gesso::next_scale {

namespace {

void Show(const Pass& pass, int64_t layer, std::string_view part, ConstView value) {
  if (pass.ctx.tap != nullptr) pass.ctx.Show(fmt::format("block{}_{}", layer, part), value);
}

}  // namespace

FeedForward::FeedForward(int64_t width, int64_t ff_width)
    : fc1_(ff_width, width, nn::Precision::kModel, nn::Bias::kLearned),
      fc2_(width, ff_width, nn::Precision::kModel, nn::Bias::kLearned) {}

void FeedForward::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  fc1_.Visit(visitor, prefix + "fc1.");
  fc2_.Visit(visitor, prefix + "fc2.");
}

void FeedForward::Forward(const Pass& pass, const nn::Input& normed, ConstView residual,
                          View out) const {
  const Arena::Scope scope(*pass.ctx.arena);
  const Shape hidden_shape = {normed.shape()[0], normed.shape()[1], fc1_.out_features()};
  const View hidden = pass.ctx.arena->Alloc(hidden_shape, pass.activation);
  fc1_.Forward(pass.ctx, normed, hidden, {}, Activation::kGeluTanh);
  fc2_.Forward(pass.ctx, hidden, out, residual);
}

Block::Block(const BlockConfig& config)
    : config_(config), attn_(config.attention), ffn_(config.attention.width, config.ff_width) {
  if (config.mamba) mamba_.emplace(*config.mamba);
  if (!config.text_width) return;
  ca_norm_.emplace(config.attention.width, config.norm_eps);
  ca_.emplace(config.attention.width, config.attention.heads, *config.text_width);
}

void Block::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  attn_.Visit(visitor, prefix + config_.self_attention + ".");
  if (mamba_) mamba_->Visit(visitor, prefix + "mamba.");
  if (ca_) {
    ca_norm_->Visit(visitor, prefix + "ca_norm.");
    ca_->Visit(visitor, prefix + "ca.");
    if (config_.ca_gamma) {
      visitor.Plain(prefix + "ca_gamma", {config_.attention.width}, nn::Role::kParameter,
                    ca_gamma_);
    }
  }
  ffn_.Visit(visitor, prefix + "ffn.");
}

void Block::Prepare() {
  attn_.Prepare();
  if (mamba_) mamba_->Prepare();
  if (ca_) ca_->Prepare();
}

void Block::Forward(const Pass& pass, int64_t layer, const BlockState& state, View x) const {
  if (pass.hooks != nullptr && !pass.hooks->RunsLayer(layer, pass.scale)) return;
  const Modulation first = ModulationOf(state.modulation, branches(), 0);
  RunBranch(pass, Branch::kSelfAttention, layer, first.gamma, x,
            [&](ConstView tokens, ConstView rows, ConstView residual, View out) {
              const nn::Input normed = Modulated(pass, first, config_.norm_eps, rows);
              attn_.Forward(pass, layer, tokens, normed, state.cache, residual, out);
              Show(pass, layer, "attn", out);
            });
  if (mamba_) Scan(pass, layer, state, x);
  if (ca_) CrossAttend(pass, layer, state, x);
  const Modulation last = ModulationOf(state.modulation, branches(), branches() - 1);
  RunBranch(pass, Branch::kFeedForward, layer, last.gamma, x,
            [&](ConstView, ConstView rows, ConstView residual, View out) {
              const nn::Input normed = Modulated(pass, last, config_.norm_eps, rows);
              ffn_.Forward(pass, normed, residual, out);
              Show(pass, layer, "ffn", out);
            });
  Show(pass, layer, "out", x);
}

// Every token leaves its trace in the state, so there is nothing for a policy to choose.
void Block::Scan(const Pass& pass, int64_t layer, const BlockState& state, View x) const {
  const Arena::Scope scope(*pass.ctx.arena);
  const Modulation modulation = ModulationOf(state.modulation, branches(), 1);
  const nn::Input normed = Modulated(pass, modulation, config_.norm_eps, x);
  const View y = pass.ctx.arena->Alloc(x.shape, DType::kF32);
  mamba_->Forward(pass.ctx, pass.activation, normed, state.scan, {}, y);
  Show(pass, layer, "mamba", y);
  GatedAdd(pass.ctx, {.residual = x, .x = y, .gate = modulation.gamma, .out = x});
}

void Block::CrossAttend(const Pass& pass, int64_t layer, const BlockState& state, View x) const {
  RunBranch(pass, Branch::kCrossAttention, layer, ca_gamma_, x,
            [&](ConstView, ConstView rows, ConstView residual, View out) {
              const View out_of_norm = pass.ctx.arena->Alloc(rows.shape, pass.activation);
              const nn::Input normed = ca_norm_->Of(rows, out_of_norm);
              ca_->Forward(pass, normed, state.text_keys, state.text_mask, residual, out);
            });
}

}  // namespace gesso::next_scale
