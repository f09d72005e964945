#include "pipelines/bidim_network.h"

#include <algorithm>

#include "models/bidim/session.h"

namespace gesso {

namespace {

constexpr double kSmallestSigma = 1e-9;
constexpr double kLargestSigma = 1e9;

NetworkTraits ParseTraits(const Json& json) {
  const bidim::Config config = bidim::ParseConfig(json);
  Require(config.input_frames > 0, ErrorKind::kConfig, "field 'input_size' is missing");
  Require(config.out_channels == config.in_channels, ErrorKind::kUnsupported,
          "field 'learn_sigma': a network that predicts variances cannot be sampled from yet");
  NetworkTraits traits{.kind = "bidirectional Diffusion Mamba", .layers = {}};
  traits.layers = {{"width", config.width}, {"depth", config.depth}};
  traits.channels = config.in_channels;
  traits.frames = config.input_frames;
  traits.height = config.input_height;
  traits.width = config.input_width;
  traits.frames_multiple = config.patch_frames;
  traits.height_multiple = config.patch_height;
  traits.width_multiple = config.patch_width;
  traits.smallest_height = config.patch_height;
  traits.smallest_width = config.patch_width;
  traits.num_classes = config.num_classes;
  if (config.text) {
    traits.text_width = config.text->dim;
    traits.max_text_tokens = config.text->tokens;
  }
  traits.sigma_data = GetNumber(json, "sigma_data", kSmallestSigma, kLargestSigma, 0.5);
  traits.sigma_min = GetNumber(json, "sigma_min", kSmallestSigma, kLargestSigma);
  traits.sigma_max = GetNumber(json, "sigma_max", kSmallestSigma, kLargestSigma);
  Require(traits.sigma_min < traits.sigma_max, ErrorKind::kConfig,
          "sigma_min {} is not below sigma_max {}", traits.sigma_min, traits.sigma_max);
  return traits;
}

// A copy of x [B, L, ...] with zeros after L up to `length`.
Tensor PadTokens(const Tensor& x, int64_t length) {
  Shape shape = x.shape();
  const int64_t rows = shape[0];
  shape.Set(1, length);
  Tensor padded(shape, x.dtype());
  const size_t from = x.view().bytes() / static_cast<size_t>(rows);
  const size_t to = padded.view().bytes() / static_cast<size_t>(rows);
  for (int64_t b = 0; b < rows; ++b) {
    const auto row = static_cast<size_t>(b);
    std::copy_n(x.view().Bytes() + row * from, from, padded.mutable_view().Bytes() + row * to);
  }
  return padded;
}

class BidimSession : public DiffusionSession {
 public:
  BidimSession(std::shared_ptr<const bidim::Model> model, const Shape& shape)
      : model_(std::move(model)), shape_(shape), session_(model_, AsClips(shape)) {
    times_.resize(static_cast<size_t>(shape[0]));
  }

  void Condition(Context& /*ctx*/, const Conditions& conditions) override {
    Conditions fitting = conditions;
    if (model_->config.text) {
      const int64_t tokens = model_->config.text->tokens;
      Require(conditions.context.shape()[1] <= tokens, ErrorKind::kUsage,
              "a prompt of {} tokens is longer than the {} that the network reads",
              conditions.context.shape()[1], tokens);
      fitting.context = PadTokens(conditions.context, tokens);
      fitting.context_mask = PadTokens(conditions.context_mask, tokens);
    }
    conditions_ = std::move(fitting);  // at other addresses than those before, by which it is told
  }

  void Forward(Context& ctx, ConstView x, std::span<const double> sigmas, View out) override {
    std::ranges::transform(sigmas, times_.begin(), bidim::TimeOf);
    const Shape clips = AsClips(shape_);
    session_.Forward(ctx, x.Reshape(clips), times_,
                     {.classes = conditions_.class_cond,
                      .pooled = conditions_.pooled,
                      .context = conditions_.context,
                      .context_mask = conditions_.context_mask},
                     out.Reshape(clips));
  }

 private:
  static Shape AsClips(const Shape& shape) {
    return shape.rank() == 5 ? shape : Shape({shape[0], shape[1], 1, shape[2], shape[3]});
  }

  std::shared_ptr<const bidim::Model> model_;
  Shape shape_;
  bidim::Session session_;
  Conditions conditions_;
  std::vector<double> times_;
};

class BidimNetwork : public DiffusionNetwork {
 public:
  BidimNetwork(NetworkTraits traits, std::shared_ptr<const bidim::Model> model)
      : DiffusionNetwork(std::move(traits)), model_(std::move(model)) {}

  std::unique_ptr<DiffusionSession> MakeSession(const Shape& shape) const override {
    return std::make_unique<BidimSession>(model_, shape);
  }

 private:
  std::shared_ptr<const bidim::Model> model_;
};

}  // namespace

bool IsBidimCheckpoint(const Weights& weights) {
  return weights.tensors.contains("blocks.0.mixer.A_b_log");
}

std::shared_ptr<const DiffusionNetwork> LoadBidimNetwork(const Weights& weights, const Json& config,
                                                         const std::string& source, Device device,
                                                         DType dtype) {
  NetworkTraits traits = WithContext(source, [&] { return ParseTraits(config); });
  return std::make_shared<BidimNetwork>(std::move(traits),
                                        bidim::Load(weights, config, device, dtype));
}

}  // namespace gesso
