#include "models/autoencoder/decoder.h"

#include "kernels/resize.h"
#include "kernels/token.h"

namespace gesso::autoencoder {

namespace {

int64_t Coarsest(const Config& config) { return config.Channels(config.levels() - 1); }

}  // namespace

Decoder::Decoder(const Config& config)
    : config_(config),
      conv_in_(Coarsest(config), config.latent_channels, 3, config.precision),
      mid_(config, Coarsest(config)),
      norm_out_(config.Channels(0), NormGroups(config, config.Channels(0)), kNormEps,
                Activation::kSilu),
      conv_out_(config.picture_channels, config.Channels(0), 3, config.precision) {
  const int64_t last = config.levels() - 1;
  for (int64_t level = 0; level <= last; ++level) {
    const int64_t in_channels = config.Channels(std::min(level + 1, last));
    levels_.emplace_back(config, config.res_blocks + 1, in_channels, config.Channels(level),
                         config.attention && level == last);
    if (Doubles(level)) {
      upsamples_.emplace_back(config.Channels(level), config.Channels(level), 3, config.precision);
    }
  }
}

void Decoder::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  conv_in_.Visit(visitor, prefix + "conv_in." + config_.conv_name);
  mid_.Visit(visitor, prefix + "mid.");
  for (int64_t level = 0; level < config_.levels(); ++level) {
    const std::string name = fmt::format("{}up.{}.", prefix, level);
    levels_[static_cast<size_t>(level)].Visit(visitor, name);
    if (Doubles(level)) {
      upsamples_[static_cast<size_t>(level) - 1].Visit(visitor,
                                                       name + "upsample.conv." + config_.conv_name);
    }
  }
  norm_out_.Visit(visitor, prefix + "norm_out." + config_.norm_name);
  conv_out_.Visit(visitor, prefix + "conv_out." + config_.conv_name);
}

Shape Decoder::PictureShape(const Shape& latents) const {
  Require(latents.rank() == 4 && latents[3] == config_.latent_channels, ErrorKind::kShape,
          "expected latents [B, h, w, {}], got {}", config_.latent_channels, latents);
  return {latents[0], config_.picture_channels, latents[1] * config_.stride(),
          latents[2] * config_.stride()};
}

void Decoder::Forward(Context& ctx, DType activation, ConstView latents, View picture) const {
  const Shape shape = PictureShape(latents.shape);
  Require(picture.shape == shape, ErrorKind::kShape, "expected a picture {}, got {}", shape,
          picture.shape);
  const Arena::Scope scope(*ctx.arena);
  const View x = ctx.arena->Alloc({shape[0], shape[2], shape[3], config_.Channels(0)}, DType::kF32);
  RunLevel(ctx, activation, 0, latents, x);
  const View normed = ctx.arena->Alloc(x.shape, activation);
  norm_out_.Forward(ctx, x, normed);
  const View pixels =
      ctx.arena->Alloc({shape[0], shape[2], shape[3], config_.picture_channels}, DType::kF32);
  conv_out_.Forward(ctx, normed, pixels);
  SpaceDepth(ctx, {.x = pixels, .block_h = 1, .block_w = 1, .out = picture.Permute({0, 2, 3, 1})});
}

void Decoder::RunLevel(Context& ctx, DType activation, int64_t level, ConstView latents,
                       View out) const {
  const Arena::Scope scope(*ctx.arena);
  const Level& blocks = levels_[static_cast<size_t>(level)];
  const int64_t coarser = std::min(level + 1, config_.levels() - 1);
  const Shape& s = out.shape;
  View x = out;
  if (blocks.changes_channels()) {
    x = ctx.arena->Alloc({s[0], s[1], s[2], config_.Channels(coarser)}, DType::kF32);
  }
  if (coarser == level) {
    RunMiddle(ctx, activation, latents, x);
  } else if (Doubles(coarser)) {
    const Arena::Scope inner(*ctx.arena);
    const View small = ctx.arena->Alloc({s[0], s[1] / 2, s[2] / 2, x.shape[3]}, DType::kF32);
    RunLevel(ctx, activation, coarser, latents, small);
    const View enlarged = ctx.arena->Alloc(x.shape, activation);
    Resize(ctx, {.x = small, .resampling = Resampling::kNearest, .out = enlarged});
    upsamples_[static_cast<size_t>(level)].Forward(ctx, enlarged, x);
  } else {
    RunLevel(ctx, activation, coarser, latents, x);
  }
  blocks.Forward(ctx, activation, x, out);
}

void Decoder::RunMiddle(Context& ctx, DType activation, ConstView latents, View x) const {
  conv_in_.Forward(ctx, latents, x);
  mid_.Forward(ctx, activation, x);
  ctx.Show("decoder.mid", ConstView(x).Permute({0, 3, 1, 2}));
}

}  // namespace gesso::autoencoder
