#include "models/infinity/session.h"

#include <algorithm>
#include <array>

#include "kernels/core/dry_run.h"
#include "kernels/core/select.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/token.h"

namespace gesso::infinity {

namespace {

constexpr int64_t kMaxRows = 1 << 16;
constexpr int64_t kMaxTokens = 1 << 24;

int64_t TokensBefore(std::span<const TokenMap> maps, int64_t scale) {
  int64_t tokens = 0;
  for (const TokenMap& map : maps.first(static_cast<size_t>(scale))) tokens += map.tokens();
  return tokens;
}

// The scale of each token of all maps.
Tensor LevelIds(std::span<const TokenMap> maps) {
  std::vector<int32_t> ids;
  for (size_t scale = 0; scale < maps.size(); ++scale) {
    ids.insert(ids.end(), static_cast<size_t>(maps[scale].tokens()), static_cast<int32_t>(scale));
  }
  Tensor tensor({std::ssize(ids)}, DType::kI32);
  std::ranges::copy(ids, tensor.MutableData<int32_t>());
  return tensor;
}

void Add(Context& ctx, ConstView a, ConstView b, View out) {
  const std::array<Term, 2> sum = {{{1, a}, {1, b}}};
  LinearCombination(ctx, {.terms = sum, .out = out});
}

void Copy(Context& ctx, ConstView x, View out) {
  const std::array<Term, 1> term = {{{1, x}}};
  LinearCombination(ctx, {.terms = term, .out = out});
}

SessionOptions Checked(SessionOptions options, const Config& config) {
  const auto scales = static_cast<int64_t>(options.maps.size());
  Require(options.rows >= 1 && options.rows <= kMaxRows, ErrorKind::kUsage,
          "{} rows at once; possible are 1 to {}", options.rows, kMaxRows);
  Require(scales >= 1 && scales <= kMaxScales, ErrorKind::kUsage,
          "a schedule of {} scales; Infinity knows 1 to {}", scales, kMaxScales);
  const auto is_sound = [](const TokenMap& map) {
    return map.height >= 1 && map.width >= 1 && map.height <= kMaxTokens / map.width;
  };
  Require(std::ranges::all_of(options.maps, is_sound) && is_sound(options.reference),
          ErrorKind::kUsage, "token maps must have sides of at least 1 and at most {} tokens",
          kMaxTokens);
  Require(options.maps.front() == TokenMap{}, ErrorKind::kUsage,
          "the first map is {} x {}; Infinity starts from a single token",
          options.maps.front().height, options.maps.front().width);
  const LayerGuidance& guidance = options.guidance;
  if (guidance.layers.empty()) return options;
  Require(options.rows % 2 == 0 && guidance.scales.size() == options.maps.size(), ErrorKind::kUsage,
          "guidance inside the network needs an unconditional row for each conditional one and a "
          "value for each of the {} scales",
          scales);
  for (const int64_t layer : guidance.layers) {
    Require(layer >= 0 && layer < config.depth, ErrorKind::kUsage,
            "guidance after layer {}, but the model has {}", layer, config.depth);
  }
  return options;
}

}  // namespace

TextBatch MakeTextBatch(const Model& model, std::span<const ConstView> prompts,
                        std::span<const ConstView> negatives, bool guided) {
  const int64_t channels = model.config.text_channels;
  std::vector<ConstView> rows(prompts.begin(), prompts.end());
  Require(!guided || negatives.empty() || negatives.size() == prompts.size(), ErrorKind::kUsage,
          "{} negative prompts for {} prompts", negatives.size(), prompts.size());
  if (guided) rows.insert(rows.end(), negatives.begin(), negatives.end());
  int64_t longest = 0;
  for (const ConstView& row : rows) {
    Require(row.dtype == DType::kF32 && row.shape.rank() == 2 && row.shape[1] == channels &&
                row.IsContiguous(),
            ErrorKind::kShape, "a prompt: expected float32 [length, {}], got {} {}", channels,
            NameOf(row.dtype), row.shape);
    Require(row.shape[0] >= 1 && row.shape[0] <= model.config.text_maxlen, ErrorKind::kUsage,
            "a prompt of {} tokens; the model reads 1 to {}", row.shape[0],
            model.config.text_maxlen);
    longest = std::max(longest, row.shape[0]);
  }
  if (guided && negatives.empty()) {
    for (const ConstView& prompt : prompts) {
      rows.push_back(model.text.unconditional().view().Slice(0, 0, prompt.shape[0]));
    }
  }
  const auto count = static_cast<int64_t>(rows.size());
  TextBatch batch = {.text = Tensor({count, longest, channels}, DType::kF32),
                     .mask = Tensor({count, longest}, DType::kI32)};
  for (int64_t i = 0; i < count; ++i) {
    const ConstView& row = rows[static_cast<size_t>(i)];
    std::copy_n(row.Data<float>(), row.numel(),
                batch.text.MutableData<float>() + i * longest * channels);
    std::fill_n(batch.mask.MutableData<int32_t>() + i * longest, row.shape[0], 1);
  }
  return batch;
}

Session::Session(std::shared_ptr<const Model> model, SessionOptions options,
                 std::unique_ptr<Hooks> hooks)
    : model_(std::move(model)),
      options_(Checked(std::move(options), model_->config)),
      hooks_(std::move(hooks)),
      states_(model_->blocks, rows(), hooks_.get()) {
  const Config& config = model_->config;
  rotary_ = MakeRotary(options_.maps, options_.reference, config.head_dim());
  level_ids_ = LevelIds(options_.maps);
  if (hooks_ != nullptr) hooks_->Begin(options_.maps, config.depth);
  cond_ = Tensor::Unwritten({rows(), config.embed_dim}, DType::kF32);
  modulations_ = Tensor::Unwritten({config.depth, rows(), 6 * config.embed_dim}, DType::kF32);
  head_ = Tensor::Unwritten({rows(), 2 * config.embed_dim}, DType::kF32);
}

void Session::Begin(Context& ctx, ConstView text, ConstView mask) {
  const Config& config = model_->config;
  Require(text.dtype == DType::kF32 && text.shape.rank() == 3 && text.shape[0] == rows() &&
              text.shape[1] >= 1 && text.shape[2] == config.text_channels && text.IsContiguous(),
          ErrorKind::kShape, "text: expected float32 [{}, L, {}], got {} {}", rows(),
          config.text_channels, NameOf(text.dtype), text.shape);
  Require(mask.dtype == DType::kI32 && mask.shape == Shape({rows(), text.shape[1]}) &&
              mask.IsContiguous(),
          ErrorKind::kShape, "mask: expected int32 [{}, {}], got {} {}", rows(), text.shape[1],
          NameOf(mask.dtype), mask.shape);
  if (hooks_ != nullptr) hooks_->Begin(options_.maps, config.depth);
  states_.ReserveKeys(hooks_.get(), config.num_heads, config.head_dim(),
                      TokensBefore(options_.maps, scales() - 1), model_->activation);
  const Arena::Scope scope(*ctx.arena);
  const View states = ctx.arena->Alloc({rows(), text.shape[1], config.embed_dim}, DType::kF32);
  model_->text.Forward(ctx, text, mask, cond_.mutable_view(), states);
  ctx.Show("cond_BD", cond_);
  states_.EncodeText(ctx, model_->blocks, model_->activation, states, mask);
  model_->ada.Forward(ctx, cond_, modulations_.mutable_view(), head_.mutable_view());
  next_scale_ = 0;
}

// The scale's level embedding for each token, [N, C].
View Session::LevelRows(Context& ctx, int64_t scale) const {
  const int64_t tokens = map(scale).tokens();
  const int64_t begin = TokensBefore(options_.maps, scale);
  const View levels = ctx.arena->Alloc({tokens, model_->config.embed_dim}, DType::kF32);
  GatherRows(ctx, {.table = model_->level_embedding,
                   .ids = level_ids_.view().Slice(0, begin, begin + tokens),
                   .out = levels});
  return levels;
}

// The first scale sees the text alone, later ones the codes so far.
void Session::Embed(Context& ctx, int64_t scale, ConstView input, ConstView levels, View x) const {
  const Shape one_row = {x.shape[1], x.shape[2]};
  for (int64_t row = 0; row < rows(); ++row) {
    const View to = x.Slice(0, row, row + 1).Reshape(one_row);
    if (scale == 0) {
      Add(ctx, cond_.view().Slice(0, row, row + 1), model_->pos_start.view().Reshape(one_row), to);
      Add(ctx, to, levels, to);
      continue;
    }
    const int64_t pictures = input.shape[0];
    if (row >= pictures) {
      Copy(ctx, x.Slice(0, row - pictures, row - pictures + 1).Reshape(one_row), to);
      continue;
    }
    const ConstView codes = input.Slice(0, row, row + 1).Reshape({one_row[0], input.shape[2]});
    model_->word_embed.Forward(ctx, codes, to, levels);
  }
}

void Session::RunBlocks(Context& ctx, int64_t scale, ConstView levels, View x) {
  const Config& config = model_->config;
  const LayerGuidance& guidance = options_.guidance;
  const int64_t begin = TokensBefore(options_.maps, scale);
  next_scale::Pass pass{.ctx = ctx,
                        .activation = model_->activation,
                        .hooks = hooks_.get(),
                        .scale = scale,
                        .map = map(scale),
                        .caches_stay = states_.stay(),
                        .cos = rotary_.cos.view().Slice(0, begin, begin + x.shape[1]),
                        .sin = rotary_.sin.view().Slice(0, begin, begin + x.shape[1])};
  for (int64_t layer = 0; layer < config.depth; ++layer) {
    pass.is_last = next_scale::IsLast(hooks_.get(), layer, scale, scales());
    const bool begins_chunk = layer % (config.depth / config.block_chunks) == 0;
    if (!config.level_embedding_once && begins_chunk && layer > 0) {
      for (int64_t row = 0; row < rows(); ++row) {
        const View to = x.Slice(0, row, row + 1).Reshape(levels.shape);
        Add(ctx, to, levels, to);
      }
    }
    const ConstView modulation =
        modulations_.view().Slice(0, layer, layer + 1).Reshape({rows(), 6 * config.embed_dim});
    model_->blocks[static_cast<size_t>(layer)].Forward(pass, layer, states_.Of(layer, modulation),
                                                       x);
    if (ctx.tap != nullptr) ctx.Show(fmt::format("scale{}.block{}", scale, layer), x);
    if (std::ranges::count(guidance.layers, layer) == 0) continue;
    const auto cfg = static_cast<float>(guidance.scales[static_cast<size_t>(scale)]);
    if (cfg == 1) continue;
    const View cond = x.Slice(0, 0, rows() / 2);
    const View uncond = x.Slice(0, rows() / 2, rows());
    const std::array<Term, 2> mix = {{{cfg, cond}, {1 - cfg, uncond}}};
    LinearCombination(ctx, {.terms = mix, .out = cond});
    Copy(ctx, cond, uncond);
  }
}

void Session::CheckForward(int64_t scale, ConstView input, View logits) const {
  const int64_t bits = model_->config.bits();
  Require(next_scale_ >= 0 && scale >= next_scale_ && scale < scales(), ErrorKind::kUsage,
          "scale {} of {} asked for, but {} is next", scale, scales(), next_scale_);
  const int64_t tokens = map(scale).tokens();
  Require(scale == 0
              ? input.empty()
              : input.dtype == DType::kF32 && input.shape.rank() == 3 && input.shape[0] >= 1 &&
                    rows() % input.shape[0] == 0 && input.shape[1] == tokens &&
                    input.shape[2] == bits && input.IsContiguous(),
          ErrorKind::kShape, "input of scale {}: expected float32 [pictures, {}, {}], got {}",
          scale, tokens, bits, input.shape);
  Require(logits.shape.rank() == 3 && logits.shape[0] <= rows() && logits.shape[1] == tokens &&
              logits.shape[2] == 2 * bits,
          ErrorKind::kShape, "logits of scale {}: expected [up to {}, {}, {}], got {}", scale,
          rows(), tokens, 2 * bits, logits.shape);
}

void Session::Forward(Context& ctx, int64_t scale, ConstView input, View logits) {
  CheckForward(scale, input, logits);
  next_scale_ = scale + 1;
  states_.Run(ctx, scale, input, logits, [&] { Compute(ctx, scale, input, logits); });
}

void Session::Compute(Context& ctx, int64_t scale, ConstView input, View logits) {
  const int64_t width = model_->config.embed_dim;
  const Arena::Scope scope(*ctx.arena);
  const View x = ctx.arena->Alloc({rows(), map(scale).tokens(), width}, DType::kF32);
  const View levels = LevelRows(ctx, scale);
  Embed(ctx, scale, input, levels, x);
  RunBlocks(ctx, scale, levels, x);
  const View last = x.Slice(0, 0, logits.shape[0]);
  const ConstView head = head_.view().Slice(0, 0, logits.shape[0]);
  const LayerNormArgs normed = {.x = last,
                                .scale = head.Slice(1, 0, width),
                                .shift = head.Slice(1, width, 2 * width),
                                .scale_offset = 1,
                                .eps = static_cast<float>(model_->config.norm_eps),
                                .out = last};
  model_->head.Forward(ctx, normed, logits);
}

Session Session::Fork(std::span<const int64_t> rows) const {
  for (const int64_t row : rows) {
    Require(row >= 0 && row < this->rows(), ErrorKind::kUsage, "row {} of {} cannot be forked", row,
            this->rows());
  }
  SessionOptions options = options_;
  options.rows = static_cast<int64_t>(rows.size());
  Session fork(model_, std::move(options));
  if (hooks_ != nullptr) fork.hooks_ = hooks_->Fork(rows);
  fork.next_scale_ = next_scale_;
  fork.states_ = states_.Fork(rows);
  fork.cond_ = Select(cond_, 0, rows);
  fork.modulations_ = Select(modulations_, 1, rows);
  fork.head_ = Select(head_, 0, rows);
  return fork;
}

size_t Session::ArenaBytes(int64_t text_length) {
  const Config& config = model_->config;
  const size_t bytes = DryRun([&](Context& ctx, Arena& outside) {
    Begin(ctx, outside.Alloc({rows(), text_length, config.text_channels}, DType::kF32),
          outside.Alloc({rows(), text_length}, DType::kI32));
    for (int64_t scale = 0; scale < scales(); ++scale) {
      if (!Runs(scale)) continue;
      const Arena::Scope scope(outside);
      const int64_t tokens = map(scale).tokens();
      const Shape codes = {rows(), tokens, config.bits()};
      const View logits = outside.Alloc({rows(), tokens, 2 * config.bits()}, DType::kF32);
      Forward(ctx, scale, scale == 0 ? ConstView() : outside.Alloc(codes, DType::kF32), logits);
    }
  });
  next_scale_ = -1;
  return bytes;
}

}  // namespace gesso::infinity
