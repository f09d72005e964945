#include "models/autoencoder/encoder.h"

#include "kernels/token.h"

namespace gesso::autoencoder {

namespace {

int64_t Coarsest(const Config& config) { return config.Channels(config.levels() - 1); }

}  // namespace

Encoder::Encoder(const Config& config)
    : config_(config),
      conv_in_(config.width, config.picture_channels, 3, config.precision),
      mid_(config, Coarsest(config)),
      norm_out_(Coarsest(config), NormGroups(config, Coarsest(config)), kNormEps,
                Activation::kSilu),
      conv_out_(config.latent_channels, Coarsest(config), 3, config.precision) {
  int64_t channels = config.width;
  for (int64_t level = 0; level < config.levels(); ++level) {
    const bool attention = config.attention && level == config.levels() - 1;
    levels_.emplace_back(config, config.res_blocks, channels, config.Channels(level), attention);
    channels = config.Channels(level);
    if (level < config.halvings) {
      downsamples_.emplace_back(channels, channels, 3, config.precision,
                                Conv2dShape{.stride = 2, .end_padding = 1});
    }
  }
}

void Encoder::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  conv_in_.Visit(visitor, prefix + "conv_in." + config_.conv_name);
  for (size_t i = 0; i < levels_.size(); ++i) {
    const std::string level = fmt::format("{}down.{}.", prefix, i);
    levels_[i].Visit(visitor, level);
    if (i < downsamples_.size()) {
      downsamples_[i].Visit(visitor, level + "downsample.conv." + config_.conv_name);
    }
  }
  mid_.Visit(visitor, prefix + "mid.");
  norm_out_.Visit(visitor, prefix + "norm_out." + config_.norm_name);
  conv_out_.Visit(visitor, prefix + "conv_out." + config_.conv_name);
}

MapSize Encoder::LatentSize(int64_t height, int64_t width) const {
  const int64_t stride = config_.stride();
  Require(height > 0 && width > 0 && height % stride == 0 && width % stride == 0, ErrorKind::kUsage,
          "a {} x {} picture has no whole latents: width and height must be multiples of {}", width,
          height, stride);
  return {height / stride, width / stride};
}

void Encoder::Forward(Context& ctx, ConstView picture, View latents) const {
  Require(picture.shape.rank() == 4 && picture.shape[1] == config_.picture_channels,
          ErrorKind::kShape, "expected a picture [B, {}, H, W], got {}", config_.picture_channels,
          picture.shape);
  const int64_t batch = picture.shape[0];
  int64_t height = picture.shape[2];
  int64_t width = picture.shape[3];
  LatentSize(height, width);
  const Arena::Scope scope(*ctx.arena);
  const auto map = [&](int64_t channels) {
    return ctx.arena->Alloc({batch, height, width, channels}, DType::kF32);
  };
  View x = map(config_.width);
  {
    const Arena::Scope inner(*ctx.arena);
    const View pixels = map(config_.picture_channels);
    SpaceDepth(ctx,
               {.x = picture.Permute({0, 2, 3, 1}), .block_h = 1, .block_w = 1, .out = pixels});
    conv_in_.Forward(ctx, pixels, x);
  }
  for (size_t level = 0; level < levels_.size(); ++level) {
    const View out =
        levels_[level].changes_channels() ? map(config_.Channels(static_cast<int64_t>(level))) : x;
    levels_[level].Forward(ctx, DType::kF32, x, out);
    x = out;
    if (level >= downsamples_.size()) continue;
    height /= 2;
    width /= 2;
    const View half = map(x.shape[3]);
    downsamples_[level].Forward(ctx, x, half);
    x = half;
  }
  mid_.Forward(ctx, DType::kF32, x);
  ctx.Show("encoder.mid", ConstView(x).Permute({0, 3, 1, 2}));
  norm_out_.Forward(ctx, x, x);
  conv_out_.Forward(ctx, x, latents);
}

}  // namespace gesso::autoencoder
