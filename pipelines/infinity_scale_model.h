// Infinity and the codes that its bits add up to, as one model of next-scale sampling.
#pragma once

#include "models/infinity/session.h"
#include "samplers/next_scale/scale_model.h"

namespace gesso {

class InfinityScaleModel : public ScaleModel {
 public:
  // `texts` has a row for each of the session's; with `guided` the second half of them is
  // unconditional.
  InfinityScaleModel(infinity::Session session, infinity::TextBatch texts, bool guided);

  const infinity::Session& session() const { return session_; }
  // Other texts, of the same number; from Begin on.
  void SetTexts(infinity::TextBatch texts) { texts_ = std::move(texts); }
  ConstView summed() const { return summed_; }  // [B, H, W, codebook_dim] f32: the codes so far

  int64_t pictures() const override { return summed_.shape()[0]; }
  int64_t scales() const override { return session_.scales(); }
  int64_t tokens(int64_t scale) const override { return session_.map(scale).tokens(); }
  TokenChoices choices() const override { return {.units = config().bits(), .values = 2}; }
  bool Runs(int64_t scale) const override { return session_.Runs(scale); }

  void Begin(Context& ctx) override;
  void Logits(Context& ctx, int64_t scale, View logits) override;
  void Commit(Context& ctx, int64_t scale, ConstView tokens) override;
  void CommitMixture(Context& ctx, int64_t scale, ConstView weights) override;
  std::unique_ptr<ScaleModel> Fork(std::span<const int64_t> pictures) const override;

 private:
  const infinity::Config& config() const { return session_.model().config; }

  infinity::Session session_;
  infinity::TextBatch texts_;  // none in a fork, which goes on and never begins
  bool is_empty_ = true;       // nothing committed
  Tensor summed_;
};

}  // namespace gesso
