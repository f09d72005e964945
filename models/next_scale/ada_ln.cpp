#include "models/next_scale/ada_ln.h"

#include <array>

#include "kernels/elementwise.h"

namespace gesso::next_scale {

AdaLayerNorms::AdaLayerNorms(int64_t width, int64_t chunks, bool shared,
                             std::vector<std::string> blocks)
    : width_(width),
      chunks_(chunks),
      names_(std::move(blocks)),
      linears_(
          shared ? 1 : names_.size(),
          nn::Linear(chunks * width, width, shared ? nn::Precision::kFull : nn::Precision::kModel,
                     nn::Bias::kLearned)),
      offsets_(shared ? names_.size() : 0),
      head_(2 * width, width, nn::Precision::kFull, nn::Bias::kLearned) {}

void AdaLayerNorms::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  if (offsets_.empty()) {
    for (size_t i = 0; i < names_.size(); ++i) {
      linears_[i].Visit(visitor, prefix + names_[i] + "ada_lin.1.");
    }
  } else {
    linears_.front().Visit(visitor, prefix + "shared_ada_lin.1.");
    for (size_t i = 0; i < names_.size(); ++i) {
      visitor.Plain(prefix + names_[i] + "ada_gss", {1, 1, chunks_, width_}, nn::Role::kParameter,
                    offsets_[i]);
    }
  }
  head_.Visit(visitor, prefix + "head_nm.ada_lin.1.");
}

void AdaLayerNorms::Forward(Context& ctx, ConstView cond, View blocks, View head) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t rows = cond.shape[0];
  const int64_t values = chunks_ * width_;
  const View activated = ctx.arena->Alloc(cond.shape, DType::kF32);
  Activate(ctx, {.x = cond, .activation = Activation::kSilu, .out = activated});
  head_.Forward(ctx, activated, head);
  const auto block = [&](size_t i) {
    const auto at = static_cast<int64_t>(i);
    return blocks.Slice(0, at, at + 1).Reshape({rows, values});
  };
  if (offsets_.empty()) {
    for (size_t i = 0; i < names_.size(); ++i) linears_[i].Forward(ctx, activated, block(i));
    return;
  }
  const View shared = ctx.arena->Alloc({rows, values}, DType::kF32);
  linears_.front().Forward(ctx, activated, shared);
  for (size_t i = 0; i < names_.size(); ++i) {
    for (int64_t row = 0; row < rows; ++row) {
      const std::array<Term, 2> sum = {
          {{1, shared.Slice(0, row, row + 1)}, {1, offsets_[i].view().Reshape({1, values})}}};
      LinearCombination(ctx, {.terms = sum, .out = block(i).Slice(0, row, row + 1)});
    }
  }
}

}  // namespace gesso::next_scale
