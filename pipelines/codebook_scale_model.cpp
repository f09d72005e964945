#include "pipelines/codebook_scale_model.h"

#include "kernels/core/select.h"

namespace gesso {

CodeSum::CodeSum(std::shared_ptr<const vqvae::Quantizer> quantizer, Device device, int64_t pictures,
                 bool mixes)
    : quantizer_(std::move(quantizer)), maps_(quantizer_->config().Maps()) {
  const Tensor& codebook = quantizer_->codebook();
  if (mixes) {
    mixing_ = PackMatrix(device, Cast(codebook.view().Permute({1, 0}), DType::kF32), DType::kF32);
  }
  f_hat_ =
      Tensor({pictures, maps_.back().height, maps_.back().width, codebook.shape()[1]}, DType::kF32);
}

View CodeSum::InputOf(Context& ctx, int64_t scale) const {
  const Shape& s = f_hat_.shape();
  const vqvae::MapSize size = map(scale);
  const View input = ctx.arena->Alloc({s[0], size.height, size.width, s[3]}, DType::kF32);
  quantizer_->NextInput(ctx, f_hat_, input);
  return input.Reshape({s[0], size.tokens(), s[3]});
}

void CodeSum::Add(Context& ctx, int64_t scale, ConstView tokens) {
  quantizer_->AccumulateTokens(ctx, scale, scales(), tokens, map(scale), f_hat_.mutable_view());
}

void CodeSum::AddMixture(Context& ctx, int64_t scale, ConstView weights) {
  CHECK(mixes());
  const Arena::Scope scope(*ctx.arena);
  const vqvae::MapSize size = map(scale);
  const View codes =
      ctx.arena->Alloc({pictures(), size.height, size.width, mixing_.rows()}, DType::kF32);
  Linear(ctx, {.x = weights, .weight = &mixing_, .bias = {}, .residual = {}, .out = codes});
  quantizer_->Accumulate(ctx, scale, scales(), codes, f_hat_.mutable_view());
}

CodeSum CodeSum::Fork(std::span<const int64_t> pictures) const {
  CodeSum fork = *this;
  fork.f_hat_ = Select(f_hat_, 0, pictures);
  return fork;
}

}  // namespace gesso
