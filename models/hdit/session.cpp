#include "models/hdit/session.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/elementwise.h"
#include "kernels/token.h"

namespace gesso::hdit {

namespace {

constexpr int64_t kMaxSide = 1 << 16;
constexpr int64_t kMaxValues = int64_t{1} << 34;

struct TokenGrid {
  int64_t height;
  int64_t width;
};

TokenGrid GridOf(const Config& config, const Shape& pictures, size_t level) {
  return {pictures[2] / config.patch_height >> level, pictures[3] / config.patch_width >> level};
}

void CheckPictures(const Config& config, const Shape& pictures) {
  Require(pictures.rank() == 4 && pictures[0] > 0 && pictures[1] == config.input_channels,
          ErrorKind::kShape, "pictures must be [B, {}, H, W], got {}", config.input_channels,
          pictures);
  const int64_t height = pictures[2];
  const int64_t width = pictures[3];
  Require(height > 0 && width > 0 && height % config.height_multiple() == 0 &&
              width % config.width_multiple() == 0,
          ErrorKind::kUsage,
          "a {} x {} picture cannot be cut into tokens: the width must be a multiple of {}, the "
          "height of {}",
          width, height, config.width_multiple(), config.height_multiple());
  Require(height <= kMaxSide && width <= kMaxSide && pictures[0] <= kMaxValues / (height * width),
          ErrorKind::kUsage, "{} pictures of {} x {} are too many at once", pictures[0], width,
          height);
  Require(height >= config.smallest_height() && width >= config.smallest_width(), ErrorKind::kUsage,
          "a {} x {} picture has fewer tokens than a neighborhood: the smallest picture is {} x {}",
          width, height, config.smallest_width(), config.smallest_height());
}

// Token (y, x) sits at the centre of its cell; the longer side of the grid spans [-1, 1]. Angles
// [y freqs, x freqs]. Official: k_diffusion/models/axial_rope.py:make_axial_pos, AxialRoPE.
RotaryTable MakeRotaryTable(TokenGrid grid, const Tensor& freqs) {
  const int64_t heads = freqs.shape()[0];
  const int64_t count = freqs.shape()[1];
  RotaryTable table{Tensor({grid.height * grid.width, heads, 2 * count}, DType::kF32),
                    Tensor({grid.height * grid.width, heads, 2 * count}, DType::kF32)};
  const auto longer = static_cast<double>(std::max(grid.height, grid.width));
  const auto centre = [&](int64_t index, int64_t cells) {
    return static_cast<double>(2 * index + 1 - cells) / longer;
  };
  float* cos = table.cos.MutableData<float>();
  float* sin = table.sin.MutableData<float>();
  for (int64_t token = 0; token < grid.height * grid.width; ++token) {
    const double y = centre(token / grid.width, grid.height);
    const double x = centre(token % grid.width, grid.width);
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t i = 0; i < 2 * count; ++i) {
        const float freq = freqs.Data<float>()[head * count + i % count];
        const double angle = (i < count ? y : x) * static_cast<double>(freq);
        *cos++ = static_cast<float>(std::cos(angle));
        *sin++ = static_cast<float>(std::sin(angle));
      }
    }
  }
  return table;
}

// Shows the first layer's residual stream, for those who look for the start of a difference.
void ShowFirst(Context& ctx, bool outermost, std::string_view part, ConstView x) {
  if (ctx.tap != nullptr) ctx.Show(fmt::format("{}first_{}", outermost ? "" : "mid_", part), x);
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const Shape& pictures)
    : model_(std::move(model)), pictures_(pictures) {
  CheckPictures(model_->config, pictures);
  levels_.resize(static_cast<size_t>(pictures[0]));
  log_sigma_ = Tensor::Unwritten({pictures[0], 1}, DType::kF32);
  for (const Split& split : model_->splits) up_share_.push_back(*split.fac.Data<float>());
  for (size_t level = 0; level < model_->down.size(); ++level) {
    down_.push_back(MakeState(level, model_->down[level]));
  }
  for (size_t level = 0; level < model_->up.size(); ++level) {
    up_.push_back(MakeState(level, model_->up[level]));
  }
}

Session::LevelState Session::MakeState(size_t level, const std::vector<Layer>& layers) {
  LevelState states;
  for (const Layer& layer : layers) {
    LayerState& state = states.emplace_back();
    if (layer.self_attn) state.rotary = &FindRotary(level, layer.self_attn->freqs());
  }
  return states;
}

const RotaryTable& Session::FindRotary(size_t level, const Tensor& freqs) {
  // The layers of a level nearly always have the same frequencies, hence one table.
  const float* values = freqs.Data<float>();
  std::pair key(level, std::vector<float>(values, values + freqs.view().numel()));
  const auto found = rotary_.find(key);
  if (found != rotary_.end()) return found->second;
  const TokenGrid grid = GridOf(model_->config, pictures_, level);
  return rotary_.emplace(std::move(key), MakeRotaryTable(grid, freqs)).first->second;
}

void Session::Condition(Context& ctx, const Conditioning& conditioning) {
  replayer_.Forget();
  fixed_ = Tensor({pictures_[0], model_->config.mapping_width}, DType::kF32);
  model_->conditioner.Fixed(ctx, conditioning, fixed_.mutable_view());
  const ConstView context = conditioning.context;
  const ConstView mask = conditioning.context_mask;
  const int64_t dim = model_->config.cross_attn_dim;
  Require(context.empty() != model_->attends_to_text(), ErrorKind::kUsage, "this model {} context",
          model_->attends_to_text() ? "needs" : "has no use for");
  if (!context.empty()) {
    Require(context.shape.rank() == 3 && context.shape[0] == pictures_[0] && context.shape[1] > 0 &&
                context.shape[2] == dim && context.dtype == DType::kF32,
            ErrorKind::kShape, "context: expected float32 [{}, L, {}], got {} {}", pictures_[0],
            dim, NameOf(context.dtype), context.shape);
    ComputeTextKeys(ctx, context);
  }
  context_mask_ = Tensor();
  if (!mask.empty()) {
    Require(!context.empty() && mask.shape == Shape({context.shape[0], context.shape[1]}) &&
                mask.dtype == DType::kI32,
            ErrorKind::kShape, "context_mask: expected int32 like the tokens of context {}, got {}",
            context.shape, mask.shape);
    context_mask_ = Cast(mask, DType::kI32);
  }
  conditioned_ = true;
}

void Session::ComputeTextKeys(Context& ctx, ConstView context) {
  const auto compute = [&](const std::vector<Layer>& layers, LevelState& states) {
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!layers[i].cross_attn) continue;
      states[i].text_keys = layers[i].cross_attn->TextKeys(ctx, model_->activation, context);
    }
  };
  for (size_t level = 0; level < down_.size(); ++level) compute(model_->down[level], down_[level]);
  for (size_t level = 0; level < up_.size(); ++level) compute(model_->up[level], up_[level]);
}

void Session::Forward(Context& ctx, ConstView x, std::span<const double> sigma, View out) {
  Require(conditioned_, ErrorKind::kUsage, "Forward before Condition");
  Require(x.shape == pictures_ && out.shape == pictures_ &&
              static_cast<int64_t>(sigma.size()) == pictures_[0],
          ErrorKind::kShape, "expected pictures {}, got x {}, {} noise levels, out {}", pictures_,
          x.shape, sigma.size(), out.shape);
  for (size_t b = 0; b < sigma.size(); ++b) {
    Require(sigma[b] > 0, ErrorKind::kUsage, "noise level {} is not positive", sigma[b]);
    levels_[b] = static_cast<float>(std::log(sigma[b]) / 4);
  }
  CopyFromHost(levels_.data(), log_sigma_.mutable_view());
  replayer_.Run(ctx, x, out, [&] { Compute(ctx, x, out); });
}

void Session::Compute(Context& ctx, ConstView x, View out) {
  const Config& config = model_->config;
  const Arena::Scope scope(*ctx.arena);
  const View cond = ctx.arena->Alloc(fixed_.shape(), DType::kF32);
  model_->conditioner.Forward(ctx, log_sigma_, fixed_, cond);
  ctx.Show("cond", cond);
  const View ada_scales = ctx.arena->Alloc({pictures_[0], model_->ada_scales.rows()}, DType::kF32);
  Linear(ctx,
         {.x = cond, .weight = &model_->ada_scales, .bias = {}, .residual = {}, .out = ada_scales});
  const Pass pass{ctx, model_->activation, ada_scales};

  const TokenGrid grid = GridOf(config, pictures_, 0);
  const int64_t batch = pictures_[0];
  const int64_t features = model_->patch_in.in_features();
  const View tokens =
      ctx.arena->Alloc({batch, grid.height, grid.width, config.levels.front().width}, DType::kF32);
  const View patches = ctx.arena->Alloc({batch, grid.height, grid.width, features}, DType::kF32);
  SpaceDepth(ctx, {.x = x.Permute({0, 2, 3, 1}),
                   .block_h = config.patch_height,
                   .block_w = config.patch_width,
                   .out = patches});
  model_->patch_in.Forward(ctx, patches, tokens);
  ctx.Show("patch_in", tokens);
  RunLevel(pass, 0, tokens);
  model_->out_norm.Forward(ctx, tokens, tokens);
  model_->patch_out.Forward(ctx, tokens, patches);
  SpaceDepth(ctx, {.x = patches,
                   .block_h = config.patch_height,
                   .block_w = config.patch_width,
                   .inverse = true,
                   .out = out.Permute({0, 2, 3, 1})});
}

void Session::RunLevel(const Pass& pass, size_t level, View x) const {
  Context& ctx = pass.ctx;
  const bool middle = level == model_->middle();
  RunLayers(pass, level, model_->down[level], down_[level], true, x);
  if (ctx.tap != nullptr) {
    ctx.Show(middle ? "mid_level" : fmt::format("down_level_{}", level), x);
  }
  if (middle) return;
  {
    const Arena::Scope scope(*ctx.arena);
    const nn::Linear& merge = model_->merges[level];
    const Split& split = model_->splits[level];
    const Shape& s = x.shape;
    const View coarse =
        ctx.arena->Alloc({s[0], s[1] / 2, s[2] / 2, merge.out_features()}, DType::kF32);
    const View folded =
        ctx.arena->Alloc({s[0], s[1] / 2, s[2] / 2, merge.in_features()}, DType::kF32);
    SpaceDepth(ctx, {.x = x, .block_h = 2, .block_w = 2, .out = folded});
    merge.Forward(ctx, folded, coarse);
    RunLevel(pass, level + 1, coarse);
    split.proj.Forward(ctx, coarse, folded);
    const View upsampled = ctx.arena->Alloc(s, DType::kF32);
    SpaceDepth(ctx, {.x = folded, .block_h = 2, .block_w = 2, .inverse = true, .out = upsampled});
    const float fac = up_share_[level];
    const std::array<Term, 2> mix = {{{1 - fac, x}, {fac, upsampled}}};
    LinearCombination(ctx, {.terms = mix, .out = x});
  }
  RunLayers(pass, level, model_->up[level], up_[level], false, x);
}

void Session::RunLayers(const Pass& pass, size_t level, const std::vector<Layer>& layers,
                        const LevelState& states, bool show, View x) const {
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool show_this = show && i == 0 && (level == 0 || level == model_->middle());
    if (layers[i].self_attn) {
      layers[i].self_attn->Forward(pass, *states[i].rotary, x);
      if (show_this) ShowFirst(pass.ctx, level == 0, "attn_block", x);
    }
    if (layers[i].cross_attn) {
      layers[i].cross_attn->Forward(pass, states[i].text_keys, context_mask_, x);
      if (show_this) ShowFirst(pass.ctx, level == 0, "cross_attn_block", x);
    }
    layers[i].ff.Forward(pass, x);
  }
}

size_t Session::ArenaBytes(const Conditioning& conditioning) {
  Arena arena(Device::kMeta, 0);
  Arena outside(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  Condition(ctx, conditioning);
  const std::vector<double> sigma(static_cast<size_t>(pictures_[0]), 1.0);
  Forward(ctx, outside.Alloc(pictures_, DType::kF32), sigma, outside.Alloc(pictures_, DType::kF32));
  conditioned_ = false;
  return arena.peak_bytes();
}

}  // namespace gesso::hdit
