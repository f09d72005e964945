#include "pipelines/infinity_scale_model.h"

#include "kernels/core/select.h"
#include "models/bsq_vae/quantizer.h"
#include "models/infinity/codes.h"

namespace gesso {

InfinityScaleModel::InfinityScaleModel(infinity::Session session, infinity::TextBatch texts,
                                       bool guided)
    : session_(std::move(session)), texts_(std::move(texts)) {
  const TokenMap codes = infinity::CodeMap(config(), session_.map(session_.scales() - 1));
  const int64_t pictures = guided ? session_.rows() / 2 : session_.rows();
  Require(!guided || session_.rows() == 2 * pictures, ErrorKind::kUsage,
          "guidance needs as many unconditional as conditional rows, got {} in all",
          session_.rows());
  summed_ = Tensor({pictures, codes.height, codes.width, config().codebook_dim}, DType::kF32);
}

void InfinityScaleModel::Begin(Context& ctx) {
  session_.Begin(ctx, texts_.text, texts_.mask);
  is_empty_ = true;
}

void InfinityScaleModel::Logits(Context& ctx, int64_t scale, View logits) {
  const Arena::Scope scope(*ctx.arena);
  const int64_t count = tokens(scale);
  View input;
  if (scale > 0) {
    input = ctx.arena->Alloc({pictures(), count, config().bits()}, DType::kF32);
    infinity::NextInput(ctx, config(), session_.map(scale), summed_, input);
  }
  session_.Forward(ctx, scale, input,
                   logits.Reshape({logits.shape[0], count, 2 * config().bits()}));
}

void InfinityScaleModel::Commit(Context& ctx, int64_t scale, ConstView tokens) {
  const Arena::Scope scope(*ctx.arena);
  const TokenMap& map = session_.map(scale);
  const TokenMap codes = infinity::CodeMap(config(), map);
  const View bits =
      ctx.arena->Alloc({pictures(), codes.height, codes.width, config().codebook_dim}, DType::kU8);
  infinity::TokensToBits(ctx, config(), map, tokens, bits);
  bsq_vae::AccumulateBits(ctx, is_empty_, bits, summed_.mutable_view());
  is_empty_ = false;
}

void InfinityScaleModel::CommitMixture(Context&, int64_t, ConstView) {
  Fail(ErrorKind::kUnsupported, "Infinity has no smoother pictures: its bits do not mix");
}

std::unique_ptr<ScaleModel> InfinityScaleModel::Fork(std::span<const int64_t> pictures) const {
  std::vector<int64_t> rows(pictures.begin(), pictures.end());
  const int64_t count = this->pictures();
  if (session_.rows() == 2 * count) {
    for (const int64_t picture : pictures) rows.push_back(picture + count);
  }
  auto fork = std::make_unique<InfinityScaleModel>(session_.Fork(rows), infinity::TextBatch{},
                                                   session_.rows() == 2 * count);
  fork->is_empty_ = is_empty_;
  fork->summed_ = Select(summed_, 0, pictures);
  return fork;
}

}  // namespace gesso
