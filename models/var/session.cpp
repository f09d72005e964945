#include "models/var/session.h"

#include <algorithm>
#include <array>

#include "kernels/core/dry_run.h"
#include "kernels/core/select.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/pool.h"
#include "kernels/token.h"

namespace gesso::var {

namespace {

constexpr int64_t kMaxRows = 1 << 16;

int64_t CheckedRows(int64_t rows) {
  Require(rows >= 1 && rows <= kMaxRows, ErrorKind::kUsage, "{} rows at once; possible are 1 to {}",
          rows, kMaxRows);
  return rows;
}

void Copy(Context& ctx, ConstView x, View out) {
  const std::array<Term, 1> term = {{{1, x}}};
  LinearCombination(ctx, {.terms = term, .out = out});
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, int64_t rows, std::unique_ptr<Hooks> hooks)
    : model_(std::move(model)),
      rows_(CheckedRows(rows)),
      hooks_(std::move(hooks)),
      states_(model_->blocks, rows, hooks_.get()) {
  const Config& config = model_->config;
  if (hooks_ != nullptr) hooks_->Begin(model_->maps(), config.depth);
  cond_ = Tensor::Unwritten({rows, config.width}, DType::kF32);
  modulations_ = Tensor::Unwritten({config.depth, rows, config.modulation_chunks() * config.width},
                                   DType::kF32);
  head_ = Tensor::Unwritten({rows, 2 * config.width}, DType::kF32);
}

Session::Session(std::shared_ptr<const Model> model, int64_t rows, next_scale::States states)
    : model_(std::move(model)), rows_(rows), states_(std::move(states)) {}

void Session::CheckConditioning(const Context& ctx, const Conditioning& conditioning) const {
  const Config& config = model_->config;
  if (!config.text) {
    const ConstView labels = conditioning.labels;
    Require(!labels.empty() && conditioning.text.empty(), ErrorKind::kUsage,
            "this model is conditioned on class labels");
    Require(labels.dtype == DType::kI32 && labels.shape == Shape({rows_}) && labels.IsContiguous(),
            ErrorKind::kShape, "labels: expected int32 [{}], got {} {}", rows_,
            NameOf(labels.dtype), labels.shape);
    if (ctx.device == Device::kMeta) return;
    for (int64_t row = 0; row < rows_; ++row) {
      const int32_t label = labels.Data<int32_t>()[row];
      Require(label >= 0 && label <= config.num_classes, ErrorKind::kUsage,
              "class {} does not exist: the model knows 0 to {}, and {} for none", label,
              config.num_classes - 1, config.num_classes);
    }
    return;
  }
  const ConstView text = conditioning.text;
  Require(!text.empty() && !conditioning.mask.empty() && conditioning.labels.empty(),
          ErrorKind::kUsage, "this model is conditioned on a text and its mask");
  Require(text.dtype == DType::kF32 && text.shape.rank() == 3 && text.shape[0] == rows_ &&
              text.shape[1] > 0 && text.shape[2] == config.text->dim && text.IsContiguous(),
          ErrorKind::kShape, "text: expected float32 [{}, L, {}], got {} {}", rows_,
          config.text->dim, NameOf(text.dtype), text.shape);
  const ConstView mask = conditioning.mask;
  Require(mask.dtype == DType::kI32 && mask.shape == Shape({rows_, text.shape[1]}) &&
              mask.IsContiguous(),
          ErrorKind::kShape, "mask: expected int32 [{}, {}], got {} {}", rows_, text.shape[1],
          NameOf(mask.dtype), mask.shape);
}

void Session::EmbedCondition(Context& ctx, const Conditioning& conditioning) {
  if (!model_->config.text) {
    GatherRows(
        ctx, {.table = model_->class_emb, .ids = conditioning.labels, .out = cond_.mutable_view()});
    return;
  }
  const Arena::Scope scope(*ctx.arena);
  const View pooled = ctx.arena->Alloc({rows_, model_->config.text->dim}, DType::kF32);
  MaskedMean(ctx, {.x = conditioning.text, .mask = conditioning.mask, .out = pooled});
  model_->text_proj.front().Forward(ctx, pooled, cond_.mutable_view());
  states_.EncodeText(ctx, model_->blocks, model_->activation, conditioning.text, conditioning.mask);
}

void Session::Begin(Context& ctx, const Conditioning& conditioning) {
  CheckConditioning(ctx, conditioning);
  const Config& config = model_->config;
  if (hooks_ != nullptr) hooks_->Begin(model_->maps(), config.depth);
  if (config.mamba) {
    states_.ResetScans();
  } else {
    states_.ReserveKeys(hooks_.get(), config.heads, config.width / config.heads,
                        config.offset(model_->scales() - 1), model_->activation);
  }
  EmbedCondition(ctx, conditioning);
  model_->ada_ln.Forward(ctx, cond_, modulations_.mutable_view(), head_.mutable_view());
  next_scale_ = 0;
}

// The first scale sees the condition alone, later ones the picture so far.
void Session::Embed(Context& ctx, int64_t scale, ConstView input, View x) const {
  const int64_t tokens = x.shape[1];
  const int64_t width = x.shape[2];
  if (scale == 0) {
    for (int64_t i = 0; i < rows_ * tokens; ++i) {
      const int64_t row = i / tokens;
      const int64_t token = i % tokens;
      const std::array<Term, 2> sum = {{{1, cond_.view().Slice(0, row, row + 1)},
                                        {1, model_->start.view().Slice(0, token, token + 1)}}};
      LinearCombination(
          ctx, {.terms = sum, .out = x.Reshape({rows_ * tokens, width}).Slice(0, i, i + 1)});
    }
    return;
  }
  const ConstView positions = model_->positions.view().Slice(0, model_->config.offset(scale),
                                                             model_->config.offset(scale + 1));
  const int64_t pictures = input.shape[0];
  for (int64_t row = 0; row < rows_; ++row) {
    const View to = x.Slice(0, row, row + 1);
    if (row < pictures) {
      model_->word_embed.Forward(ctx, input.Slice(0, row, row + 1), to, positions);
    } else {
      Copy(ctx, x.Slice(0, row - pictures, row - pictures + 1), to);
    }
  }
}

void Session::Forward(Context& ctx, int64_t scale, ConstView input, View logits) {
  const Config& config = model_->config;
  Require(next_scale_ >= 0 && scale >= next_scale_ && scale < model_->scales(), ErrorKind::kUsage,
          "scale {} of {} asked for, but {} is next", scale, model_->scales(), next_scale_);
  const int64_t tokens = model_->map(scale).tokens();
  Require(scale == 0
              ? input.empty()
              : input.dtype == DType::kF32 && input.shape.rank() == 3 && input.shape[0] >= 1 &&
                    rows_ % input.shape[0] == 0 && input.shape[1] == tokens &&
                    input.shape[2] == config.code_width && input.IsContiguous(),
          ErrorKind::kShape, "input of scale {}: expected float32 [pictures, {}, {}], got {}",
          scale, tokens, config.code_width, input.shape);
  Require(logits.shape.rank() == 3 && logits.shape[0] <= rows_ && logits.shape[1] == tokens &&
              logits.shape[2] == config.vocab_size,
          ErrorKind::kShape, "logits of scale {}: expected [up to {}, {}, {}], got {}", scale,
          rows_, tokens, config.vocab_size, logits.shape);
  next_scale_ = scale + 1;
  states_.Run(ctx, scale, input, logits, [&] { Compute(ctx, scale, input, logits); });
}

void Session::Compute(Context& ctx, int64_t scale, ConstView input, View logits) {
  const Config& config = model_->config;
  const Arena::Scope scope(*ctx.arena);
  const View x = ctx.arena->Alloc({rows_, logits.shape[1], config.width}, DType::kF32);
  Embed(ctx, scale, input, x);
  ctx.Show("embedded", x);
  next_scale::Pass pass{.ctx = ctx,
                        .activation = model_->activation,
                        .hooks = hooks_.get(),
                        .scale = scale,
                        .map = model_->map(scale),
                        .caches_stay = states_.stay()};
  for (int64_t layer = 0; layer < config.depth; ++layer) {
    pass.is_last = next_scale::IsLast(hooks_.get(), layer, scale, model_->scales());
    const ConstView modulation =
        modulations_.view().Slice(0, layer, layer + 1).Reshape({rows_, modulations_.shape()[2]});
    model_->blocks[static_cast<size_t>(layer)].Forward(pass, layer, states_.Of(layer, modulation),
                                                       x);
  }
  const int64_t asked = logits.shape[0];
  const View last = x.Slice(0, 0, asked);
  const ConstView head = head_.view().Slice(0, 0, asked);
  const LayerNormArgs normed = {.x = last,
                                .scale = head.Slice(1, 0, config.width),
                                .shift = head.Slice(1, config.width, 2 * config.width),
                                .scale_offset = 1,
                                .eps = config.norm_eps,
                                .out = last};
  model_->head.Forward(ctx, normed, logits);
}

Session Session::Fork(std::span<const int64_t> rows) const {
  for (const int64_t row : rows) {
    Require(row >= 0 && row < rows_, ErrorKind::kUsage, "row {} of {} cannot be forked", row,
            rows_);
  }
  Session fork(model_, std::ssize(rows), states_.Fork(rows));
  if (hooks_ != nullptr) fork.hooks_ = hooks_->Fork(rows);
  fork.next_scale_ = next_scale_;
  fork.cond_ = Select(cond_, 0, rows);
  fork.modulations_ = Select(modulations_, 1, rows);
  fork.head_ = Select(head_, 0, rows);
  return fork;
}

size_t Session::ArenaBytes(const Conditioning& conditioning) {
  const size_t bytes = DryRun([&](Context& ctx, Arena& outside) {
    Begin(ctx, conditioning);
    for (int64_t scale = 0; scale < model_->scales(); ++scale) {
      if (!Runs(scale)) continue;
      const Arena::Scope scope(outside);
      const int64_t tokens = model_->map(scale).tokens();
      const Shape codes = {rows_, tokens, model_->config.code_width};
      const View logits = outside.Alloc({rows_, tokens, model_->config.vocab_size}, DType::kF32);
      Forward(ctx, scale, scale == 0 ? ConstView() : outside.Alloc(codes, DType::kF32), logits);
    }
  });
  next_scale_ = -1;
  return bytes;
}

}  // namespace gesso::var
