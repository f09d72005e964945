#include "models/hdit/conditioner.h"

#include <array>

#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/token.h"

namespace gesso::hdit {

namespace {

// Throws unless `input` is there exactly if it is wanted, and has the expected shape.
void CheckInput(std::string_view name, ConstView input, const Shape& expected, DType dtype,
                bool wanted) {
  Require(input.empty() != wanted, ErrorKind::kUsage, "this model {} {}",
          wanted ? "needs" : "has no use for", name);
  if (input.empty()) return;
  Require(input.shape == expected && input.dtype == dtype && input.IsContiguous(),
          ErrorKind::kShape, "{}: expected {} {}, got {} {}", name, NameOf(dtype), expected,
          NameOf(input.dtype), input.shape);
}

}  // namespace

MappingBlock::MappingBlock(int64_t width, int64_t d_ff)
    : norm_(width, kEps),
      up_proj_(d_ff, width, Activation::kGeluErf, nn::Precision::kFull),
      down_proj_(width, d_ff, nn::Precision::kFull) {}

void MappingBlock::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  norm_.Visit(visitor, prefix + "norm.scale");
  up_proj_.Visit(visitor, prefix + "up_proj.");
  down_proj_.Visit(visitor, prefix + "down_proj.");
}

void MappingBlock::Forward(Context& ctx, View x) const {
  const Arena::Scope scope(*ctx.arena);
  const View normed = ctx.arena->Alloc(x.shape, DType::kF32);
  norm_.Forward(ctx, x, normed);
  const View hidden = ctx.arena->Alloc({x.shape[0], up_proj_.out_features()}, DType::kF32);
  up_proj_.Forward(ctx, normed, hidden);
  down_proj_.Forward(ctx, hidden, x, x);
}

Conditioner::Conditioner(const Config& config)
    : mapping_width_(config.mapping_width),
      num_classes_(config.num_classes),
      time_in_proj_(config.mapping_width, config.mapping_width, nn::Precision::kFull),
      aug_in_proj_(config.mapping_width, config.mapping_width, nn::Precision::kFull),
      in_norm_(config.mapping_width, kEps),
      out_norm_(config.mapping_width, kEps) {
  if (config.mapping_cond_dim > 0) {
    mapping_cond_in_proj_.emplace(config.mapping_width, config.mapping_cond_dim,
                                  nn::Precision::kFull);
  }
  for (int64_t i = 0; i < config.mapping_depth; ++i) {
    blocks_.emplace_back(config.mapping_width, config.mapping_d_ff);
  }
}

void Conditioner::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const int64_t features = mapping_width_ / 2;
  visitor.Plain(prefix + "time_emb.weight", {features, 1}, nn::Role::kBuffer, time_emb_);
  time_in_proj_.Visit(visitor, prefix + "time_in_proj.");
  visitor.Plain(prefix + "aug_emb.weight", {features, kAugmentations}, nn::Role::kBuffer, aug_emb_);
  aug_in_proj_.Visit(visitor, prefix + "aug_in_proj.");
  if (num_classes_ > 0) {
    visitor.Plain(prefix + "class_emb.weight", {num_classes_ + 1, mapping_width_},
                  nn::Role::kParameter, class_emb_);
  }
  if (mapping_cond_in_proj_) {
    mapping_cond_in_proj_->Visit(visitor, prefix + "mapping_cond_in_proj.");
  }
  in_norm_.Visit(visitor, prefix + "mapping.in_norm.scale");
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].Visit(visitor, fmt::format("{}mapping.blocks.{}.", prefix, i));
  }
  out_norm_.Visit(visitor, prefix + "mapping.out_norm.scale");
}

void Conditioner::Fixed(Context& ctx, const Conditioning& conditioning, View fixed) const {
  const int64_t batch = fixed.shape[0];
  const Tensor no_augmentation({batch, kAugmentations}, DType::kF32);
  const ConstView aug = conditioning.aug_cond.empty() ? no_augmentation : conditioning.aug_cond;
  CheckInput("aug_cond", aug, {batch, kAugmentations}, DType::kF32, true);
  CheckInput("class_cond", conditioning.class_cond, {batch}, DType::kI32, num_classes_ > 0);
  const int64_t cond_dim = mapping_cond_in_proj_ ? mapping_cond_in_proj_->in_features() : 0;
  CheckInput("mapping_cond", conditioning.mapping_cond, {batch, cond_dim}, DType::kF32,
             cond_dim > 0);
  const Arena::Scope scope(*ctx.arena);
  const View features = ctx.arena->Alloc(fixed.shape, DType::kF32);
  FourierFeatures(ctx, {.u = aug, .weight = aug_emb_, .out = features});
  aug_in_proj_.Forward(ctx, features, fixed);
  if (num_classes_ > 0) {
    const View rows = ctx.arena->Alloc(fixed.shape, DType::kF32);
    GatherRows(ctx, {.table = class_emb_, .ids = conditioning.class_cond, .out = rows});
    const std::array<Term, 2> sum = {{{1, fixed}, {1, rows}}};
    LinearCombination(ctx, {.terms = sum, .out = fixed});
  }
  if (mapping_cond_in_proj_) {
    mapping_cond_in_proj_->Forward(ctx, conditioning.mapping_cond, fixed, fixed);
  }
}

void Conditioner::Forward(Context& ctx, ConstView log_sigma, ConstView fixed, View cond) const {
  const Arena::Scope scope(*ctx.arena);
  const View features = ctx.arena->Alloc(cond.shape, DType::kF32);
  FourierFeatures(ctx, {.u = log_sigma, .weight = time_emb_, .out = features});
  time_in_proj_.Forward(ctx, features, cond, fixed);
  in_norm_.Forward(ctx, cond, cond);
  for (const MappingBlock& block : blocks_) block.Forward(ctx, cond);
  out_norm_.Forward(ctx, cond, cond);
}

}  // namespace gesso::hdit
