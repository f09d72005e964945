#include "models/bidim/session.h"

#include <algorithm>
#include <array>

#include "kernels/activation.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/token.h"
#include "models/nn/sinusoid.h"

namespace gesso::bidim {

namespace {

constexpr float kEps = 1e-6f;
constexpr int64_t kMaxSide = 1 << 14;

// Frame `first` of picture b and every `step`-th after it, [frames, H, W, C] of x [B, C, T, H, W].
template <class AnyView>
AnyView FramesOf(AnyView x, int64_t b, int64_t first, int64_t step) {
  AnyView frames = x.Slice(0, b, b + 1).Slice(2, first, first + 1);
  frames.shape = {x.shape[2] / step, x.shape[3], x.shape[4], x.shape[1]};
  frames.strides = {step * x.strides[2], x.strides[3], x.strides[4], x.strides[1]};
  return frames;
}

// Columns first, as DiT has it; then the frame, where there is more than one.
Tensor MakePositions(int64_t frames, int64_t height, int64_t width, int64_t features) {
  Tensor table({frames * height * width, features}, DType::kF32);
  constexpr nn::SinusoidOrder kOrder = nn::SinusoidOrder::kSinFirst;
  float* to = table.MutableData<float>();
  for (int64_t token = 0; token < frames * height * width; ++token, to += features) {
    const auto column = static_cast<double>(token % width);
    const auto row = static_cast<double>(token / width % height);
    nn::AddSinusoids(column, features / 4, kOrder, to);
    nn::AddSinusoids(row, features / 4, kOrder, to + features / 2);
    if (frames == 1) continue;
    nn::AddSinusoids(static_cast<double>(token / (width * height)), features / 2, kOrder, to);
  }
  return table;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const Shape& latents,
                 std::optional<int64_t> text_tokens)
    : model_(std::move(model)), latents_(latents) {
  const Config& config = model_->config;
  Require(latents.rank() == 5 && latents[0] > 0 && latents[1] == config.in_channels,
          ErrorKind::kShape, "latents must be [B, {}, frames, height, width], got {}",
          config.in_channels, latents);
  const std::array<int64_t, 3> patch = {config.patch_frames, config.patch_height,
                                        config.patch_width};
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t side = latents[axis + 2];
    const int64_t part = patch[static_cast<size_t>(axis)];
    Require(side > 0 && side <= kMaxSide && side % part == 0, ErrorKind::kUsage,
            "{} frames of {} x {} cannot be cut into patches of {} x {} x {}", latents[2],
            latents[4], latents[3], patch[0], patch[1], patch[2]);
  }
  frames_ = latents[2] / patch[0];
  const int64_t height = latents[3] / patch[1];
  const int64_t width = latents[4] / patch[2];
  places_ = height * width;
  positions_ = MakePositions(frames_, height, width, config.width);
  text_ = config.text ? text_tokens.value_or(config.text->tokens) : 0;
  times_.resize(static_cast<size_t>(latents[0] * model_->time_in.in_features()));
  sinusoids_ = Tensor::Unwritten({latents[0], model_->time_in.in_features()}, DType::kF32);
  if (text_ > 0) {
    text_mask_ = Tensor({latents[0], text_, config.width}, DType::kF32);
    is_token_.resize(static_cast<size_t>(text_mask_.shape().numel()));
  }
  MakeOrders();
}

void Session::MakeOrders() {
  const int64_t tokens = text_ + frames_ * places_;
  temporal_first_ = Tensor({latents_[0], tokens}, DType::kI32);
  canonical_ = Tensor({latents_[0], tokens}, DType::kI32);
  for (int64_t b = 0; b < latents_[0]; ++b) {
    for (int64_t i = 0; i < tokens; ++i) {
      const int64_t place = i - text_;
      const int64_t from =
          place < 0 ? i : text_ + place % frames_ * places_ + place / frames_;  // text stays first
      temporal_first_.MutableData<int32_t>()[b * tokens + i] =
          static_cast<int32_t>(b * tokens + from);
      canonical_.MutableData<int32_t>()[b * tokens + from] = static_cast<int32_t>(b * tokens + i);
    }
  }
}

View Session::PictureTokens(View tokens, int64_t b) const {
  const int64_t end = text_ + frames_ * places_;
  return tokens.Slice(0, b, b + 1).Slice(1, text_, end).Reshape({end - text_, tokens.shape[2]});
}

void Session::RequireFit(const Conditioning& given) const {
  const int64_t batch = latents_[0];
  if (!model_->config.text) {
    Require(given.classes.shape == Shape({batch}), ErrorKind::kShape,
            "expected classes [{}], got {}", batch, given.classes.shape);
    return;
  }
  const int64_t dim = model_->config.text->dim;
  Require(given.pooled.shape == Shape({batch, dim}) &&
              given.context.shape == Shape({batch, text_, dim}) &&
              given.context_mask.shape == Shape({batch, text_}),
          ErrorKind::kShape, "expected a text of [{}, {}, {}], got pooled {}, context {}, mask {}",
          batch, text_, dim, given.pooled.shape, given.context.shape, given.context_mask.shape);
}

Shape Session::OutShape() const {
  Shape out = latents_;
  out.Set(1, model_->config.out_channels);
  return out;
}

// Padding gives tokens of zeros.
void Session::EmbedText(Context& ctx, const Conditioning& conditioning, View tokens) const {
  const int64_t width = model_->config.width;
  for (int64_t b = 0; b < latents_[0]; ++b) {
    const View to = tokens.Slice(0, b, b + 1).Slice(1, 0, text_).Reshape({text_, width});
    model_->context_proj->Forward(
        ctx, conditioning.context.Slice(0, b, b + 1).Reshape({text_, model_->config.text->dim}),
        to);
    const View values = to.Reshape({text_, 1, width});
    GatedAdd(ctx, {.residual = {},
                   .x = values,
                   .gate = text_mask_.view().Slice(0, b, b + 1).Reshape({text_, width}),
                   .out = values});
  }
}

void Session::Embed(Context& ctx, ConstView x, View tokens) const {
  const Config& config = model_->config;
  const Arena::Scope scope(*ctx.arena);
  const int64_t height = latents_[3] / config.patch_height;
  const int64_t width = latents_[4] / config.patch_width;
  const int64_t slice = config.patch_height * config.patch_width * config.in_channels;
  const View patches = ctx.arena->Alloc(
      {latents_[0], frames_, height, width, config.patch_frames * slice}, DType::kF32);
  for (int64_t b = 0; b < latents_[0]; ++b) {
    const View picture =
        patches.Slice(0, b, b + 1).Reshape({frames_, height, width, config.patch_frames * slice});
    for (int64_t frame = 0; frame < config.patch_frames; ++frame) {
      SpaceDepth(ctx, {.x = FramesOf(x, b, frame, config.patch_frames),
                       .block_h = config.patch_height,
                       .block_w = config.patch_width,
                       .out = picture.Slice(3, frame * slice, (frame + 1) * slice)});
    }
    const View to = PictureTokens(tokens, b);
    Linear(ctx, {.x = picture.Reshape({frames_ * places_, config.patch_frames * slice}),
                 .weight = &model_->patch_in,
                 .bias = model_->patch_bias,
                 .residual = positions_.view().Reshape(to.shape),
                 .out = to});
  }
}

// silu(mlp(t) + class or text), all that the modulations depend on.
void Session::EmbedCondition(Context& ctx, const Conditioning& conditioning, View c) const {
  const Arena::Scope scope(*ctx.arena);
  const View rows = ctx.arena->Alloc(c.shape, DType::kF32);
  if (model_->text_proj) {
    model_->text_proj->Forward(ctx, conditioning.pooled, rows);
  } else {
    GatherRows(ctx, {.table = model_->classes, .ids = conditioning.classes, .out = rows});
  }
  const View hidden = ctx.arena->Alloc(c.shape, DType::kF32);
  model_->time_in.Forward(ctx, sinusoids_, hidden, {}, Activation::kSilu);
  model_->time_out.Forward(ctx, hidden, c, rows);
  ctx.Show("c", c);
  Activate(ctx, {.x = c, .activation = Activation::kSilu, .out = c});
}

void Session::RunBlock(Context& ctx, size_t index, ConstView condition, View x) const {
  const Arena::Scope scope(*ctx.arena);
  const Block& block = model_->blocks[index];
  const int64_t width = model_->config.width;
  const View modulation = ctx.arena->Alloc({x.shape[0], 3 * width}, DType::kF32);
  block.ada_ln.Forward(ctx, condition, modulation);
  const auto& orders = model_->config.scan_orders;
  const bool reordered = orders[index % orders.size()] == ScanOrder::kTemporalFirst && frames_ > 1;
  const View moved = reordered ? ctx.arena->Alloc(x.shape, DType::kF32) : View();
  const auto in_order = [&](ConstView tokens, const Tensor& ids) {
    if (!reordered) return tokens;
    const Shape rows = {x.shape[0] * x.shape[1], width};
    GatherRows(ctx, {.table = tokens.Reshape(rows), .ids = ids, .out = moved});
    return ConstView(moved);
  };
  const LayerNormArgs normed = {.x = in_order(x, temporal_first_),
                                .scale = modulation.Slice(1, width, 2 * width),
                                .shift = modulation.Slice(1, 0, width),
                                .scale_offset = 1,
                                .eps = kEps,
                                .out = ctx.arena->Alloc(x.shape, model_->activation)};
  const View mixed = ctx.arena->Alloc(x.shape, DType::kF32);
  block.mixer.Forward(ctx, model_->activation, normed, mixed);
  GatedAdd(ctx, {.residual = x,
                 .x = in_order(mixed, canonical_),
                 .gate = modulation.Slice(1, 2 * width, 3 * width),
                 .out = x});
}

void Session::Project(Context& ctx, ConstView condition, View x, View out) const {
  const Config& config = model_->config;
  const int64_t width = config.width;
  const View modulation = ctx.arena->Alloc({x.shape[0], 2 * width}, DType::kF32);
  model_->final_ada_ln.Forward(ctx, condition, modulation);
  LayerNorm(ctx, {.x = x,
                  .scale = modulation.Slice(1, width, 2 * width),
                  .shift = modulation.Slice(1, 0, width),
                  .scale_offset = 1,
                  .eps = kEps,
                  .out = x});
  const int64_t slice = config.patch_height * config.patch_width * config.out_channels;
  const View patches =
      ctx.arena->Alloc({latents_[0], frames_, latents_[3] / config.patch_height,
                        latents_[4] / config.patch_width, config.patch_frames * slice},
                       DType::kF32);
  for (int64_t b = 0; b < latents_[0]; ++b) {
    const Shape& s = patches.shape;
    const View picture = patches.Slice(0, b, b + 1).Reshape({s[1], s[2], s[3], s[4]});
    model_->final_linear.Forward(ctx, PictureTokens(x, b),
                                 picture.Reshape({frames_ * places_, s[4]}));
    for (int64_t frame = 0; frame < config.patch_frames; ++frame) {
      SpaceDepth(ctx, {.x = picture.Slice(3, frame * slice, (frame + 1) * slice),
                       .block_h = config.patch_height,
                       .block_w = config.patch_width,
                       .inverse = true,
                       .out = FramesOf(out, b, frame, config.patch_frames)});
    }
  }
}

void Session::TellDevice(const Context& ctx, std::span<const double> timesteps,
                         const Conditioning& conditioning) {
  const auto features = static_cast<int64_t>(times_.size()) / latents_[0];
  std::ranges::fill(times_, 0.0f);
  for (size_t b = 0; b < timesteps.size(); ++b) {
    nn::AddSinusoids(timesteps[b], features / 2, nn::SinusoidOrder::kCosFirst,
                     times_.data() + b * static_cast<size_t>(features));
  }
  CopyFromHost(times_.data(), sinusoids_.mutable_view());
  const auto address = [](const Conditioning& c) {
    return std::array{c.classes.data, c.pooled.data, c.context.data, c.context_mask.data};
  };
  if (ctx.device == Device::kMeta || address(conditioning) == address(given_)) return;
  replayer_.Forget();
  given_ = conditioning;
  if (text_ == 0) return;
  const auto* const mask = conditioning.context_mask.Data<int32_t>();
  const int64_t width = model_->config.width;
  for (int64_t i = 0; i < conditioning.context_mask.numel(); ++i) {
    std::fill_n(is_token_.begin() + i * width, width, mask[i] == 0 ? 0.0f : 1.0f);
  }
  CopyFromHost(is_token_.data(), text_mask_.mutable_view());
}

void Session::Forward(Context& ctx, ConstView x, std::span<const double> timesteps,
                      const Conditioning& conditioning, View out) {
  Require(x.shape == latents_ && x.dtype == DType::kF32 && x.IsContiguous() &&
              out.shape == OutShape() && static_cast<int64_t>(timesteps.size()) == latents_[0],
          ErrorKind::kShape, "expected latents {}, got x {}, {} timesteps, out {}", latents_,
          x.shape, timesteps.size(), out.shape);
  RequireFit(conditioning);
  TellDevice(ctx, timesteps, conditioning);
  replayer_.Run(ctx, x, out, [&] { Compute(ctx, x, conditioning, out); });
}

void Session::Compute(Context& ctx, ConstView x, const Conditioning& conditioning, View out) const {
  const int64_t batch = latents_[0];
  const Arena::Scope scope(*ctx.arena);
  const View tokens =
      ctx.arena->Alloc({batch, text_ + frames_ * places_, model_->config.width}, DType::kF32);
  if (text_ > 0) EmbedText(ctx, conditioning, tokens);
  Embed(ctx, x, tokens);
  ctx.Show("tokens", tokens);
  const View condition = ctx.arena->Alloc({batch, model_->config.width}, DType::kF32);
  EmbedCondition(ctx, conditioning, condition);
  for (size_t i = 0; i < model_->blocks.size(); ++i) {
    RunBlock(ctx, i, condition, tokens);
    if (ctx.tap != nullptr) ctx.Show(fmt::format("block{}", i), tokens);
  }
  Project(ctx, condition, tokens, out);
}

size_t Session::ArenaBytes() {
  Arena arena(Device::kMeta, 0);
  Arena outside(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  const std::vector<double> timesteps(static_cast<size_t>(latents_[0]), 1.0);
  const int64_t batch = latents_[0];
  Conditioning conditioning;
  if (model_->config.text) {
    const int64_t dim = model_->config.text->dim;
    conditioning.pooled = outside.Alloc({batch, dim}, DType::kF32);
    conditioning.context = outside.Alloc({batch, text_, dim}, DType::kF32);
    conditioning.context_mask = outside.Alloc({batch, text_}, DType::kI32);
  } else {
    conditioning.classes = outside.Alloc({batch}, DType::kI32);
  }
  Forward(ctx, outside.Alloc(latents_, DType::kF32), timesteps, conditioning,
          outside.Alloc(OutShape(), DType::kF32));
  return arena.peak_bytes();
}

}  // namespace gesso::bidim
