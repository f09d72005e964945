// A transformer over codes and the quantiser that owns the codes, as one model of next-scale
// sampling: what the transformer sees of the picture so far is what the quantiser has summed up.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/vqvae/quantizer.h"
#include "samplers/next_scale/scale_model.h"

namespace gesso {

// The codes' side: the sum f_hat of what was chosen so far, for B pictures.
class CodeSum {
 public:
  // One that `mixes` is ready for AddMixture.
  CodeSum(std::shared_ptr<const vqvae::Quantizer> quantizer, Device device, int64_t pictures,
          bool mixes = false);

  const vqvae::QuantizerConfig& config() const { return quantizer_->config(); }
  int64_t pictures() const { return f_hat_.shape()[0]; }
  bool mixes() const { return mixing_.rows() > 0; }
  int64_t scales() const { return static_cast<int64_t>(maps_.size()); }
  vqvae::MapSize map(int64_t scale) const { return maps_[static_cast<size_t>(scale)]; }
  ConstView f_hat() const { return f_hat_; }  // [B, H, W, Z]

  // [B, N, Z] f32 on the arena: f_hat at the size of the scale's map.
  View InputOf(Context& ctx, int64_t scale) const;
  void Add(Context& ctx, int64_t scale, ConstView tokens);          // [B, N] i32
  void AddMixture(Context& ctx, int64_t scale, ConstView weights);  // [B, N, V] f32
  CodeSum Fork(std::span<const int64_t> pictures) const;

 private:
  std::shared_ptr<const vqvae::Quantizer> quantizer_;
  std::vector<vqvae::MapSize> maps_;
  PackedMatrix mixing_;  // the codebook turned, [Z, V], of one that mixes
  Tensor f_hat_;
};

// Session: a transformer's session with rows for B pictures, or for 2B: under their condition, then
// without. `begin` starts it with its conditioning.
template <class Session>
class CodebookScaleModel : public ScaleModel {
 public:
  using BeginFn = std::function<void(Context&, Session&)>;

  CodebookScaleModel(Session session, CodeSum codes, BeginFn begin)
      : session_(std::move(session)), codes_(std::move(codes)), begin_(std::move(begin)) {}

  const CodeSum& codes() const { return codes_; }
  const Session& session() const { return session_; }

  int64_t pictures() const override { return codes_.pictures(); }
  int64_t scales() const override { return codes_.scales(); }
  int64_t tokens(int64_t scale) const override { return codes_.map(scale).tokens(); }
  TokenChoices choices() const override {
    return {.units = 1, .values = codes_.config().vocab_size};
  }
  bool Runs(int64_t scale) const override { return session_.Runs(scale); }

  void Begin(Context& ctx) override { begin_(ctx, session_); }

  void Logits(Context& ctx, int64_t scale, View logits) override {
    const Arena::Scope scope(*ctx.arena);
    const ConstView input = scale == 0 ? ConstView() : codes_.InputOf(ctx, scale);
    session_.Forward(ctx, scale, input, logits);
  }

  void Commit(Context& ctx, int64_t scale, ConstView tokens) override {
    codes_.Add(ctx, scale, tokens);
  }

  void CommitMixture(Context& ctx, int64_t scale, ConstView weights) override {
    codes_.AddMixture(ctx, scale, weights);
  }

  std::unique_ptr<ScaleModel> Fork(std::span<const int64_t> pictures) const override {
    std::vector<int64_t> rows(pictures.begin(), pictures.end());
    if (session_.rows() == 2 * codes_.pictures()) {
      for (const int64_t picture : pictures) rows.push_back(picture + codes_.pictures());
    }
    return std::make_unique<CodebookScaleModel>(session_.Fork(rows), codes_.Fork(pictures),
                                                nullptr);
  }

 private:
  Session session_;
  CodeSum codes_;
  BeginFn begin_;  // none in a fork, which goes on and never begins
};

}  // namespace gesso
