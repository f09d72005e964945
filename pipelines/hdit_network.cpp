#include "pipelines/hdit_network.h"

#include "models/hdit/session.h"

namespace gesso {

namespace {

NetworkTraits TraitsOf(const hdit::Model& model) {
  const hdit::Config& config = model.config;
  NetworkTraits traits{.kind = "Hourglass Diffusion Transformer", .layers = {}};
  Json levels = Json::array();
  for (const hdit::LevelConfig& level : config.levels) {
    levels.push_back({{"width", level.width}, {"depth", level.depth}});
  }
  traits.layers = {{"levels", std::move(levels)}};
  traits.channels = config.input_channels;
  traits.height = config.input_height;
  traits.width = config.input_width;
  traits.height_multiple = config.height_multiple();
  traits.width_multiple = config.width_multiple();
  traits.smallest_height = config.smallest_height();
  traits.smallest_width = config.smallest_width();
  traits.num_classes = config.num_classes;
  traits.text_width = model.attends_to_text() ? config.cross_attn_dim : config.mapping_cond_dim;
  traits.sigma_data = config.sigma_data;
  traits.sigma_min = config.sigma_min;
  traits.sigma_max = config.sigma_max;
  return traits;
}

class HditSession : public DiffusionSession {
 public:
  HditSession(std::shared_ptr<const hdit::Model> model, const Shape& shape)
      : session_(std::move(model), shape) {}

  void Condition(Context& ctx, const Conditions& conditions) override {
    hdit::Conditioning conditioning;
    conditioning.class_cond = conditions.class_cond;
    if (session_.model().config.mapping_cond_dim > 0) {
      conditioning.mapping_cond = conditions.pooled;
    }
    if (session_.model().attends_to_text()) {
      conditioning.context = conditions.context;
      conditioning.context_mask = conditions.context_mask;
    }
    session_.Condition(ctx, conditioning);
  }

  void Forward(Context& ctx, ConstView x, std::span<const double> sigmas, View out) override {
    session_.Forward(ctx, x, sigmas, out);
  }

 private:
  hdit::Session session_;
};

class HditNetwork : public DiffusionNetwork {
 public:
  explicit HditNetwork(std::shared_ptr<const hdit::Model> model)
      : DiffusionNetwork(TraitsOf(*model)), model_(std::move(model)) {}

  std::unique_ptr<DiffusionSession> MakeSession(const Shape& shape) const override {
    return std::make_unique<HditSession>(model_, shape);
  }

 private:
  std::shared_ptr<const hdit::Model> model_;
};

}  // namespace

std::shared_ptr<const DiffusionNetwork> LoadHditNetwork(const Weights& weights, const Json& config,
                                                        const std::string& source, Device device,
                                                        DType dtype) {
  WithContext(source, [&] { hdit::ParseConfig(config); });
  return std::make_shared<HditNetwork>(hdit::Load(weights, config, device, dtype));
}

}  // namespace gesso
