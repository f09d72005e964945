#include "pipelines/guided_model.h"

#include <vector>

namespace gesso {

namespace {

GuidanceOptions GuidanceOf(const Request& request) {
  GuidanceOptions options{.scale = *request.cfg_scale, .rescale = *request.cfg_rescale};
  if (request.guidance_interval) {
    options.interval_low = request.guidance_interval->low;
    options.interval_high = request.guidance_interval->high;
  }
  return options;
}

}  // namespace

GuidedModel::Branch::Branch(const DiffusionModel& model, const Shape& pictures, Conditions bound)
    : conditions(std::move(bound)),
      session(model.denoiser, pictures),
      denoiser([this](Context& ctx, ConstView x, std::span<const double> sigmas,
                      View out) { session.Forward(ctx, x, sigmas, out); },
               model.denoiser->config.sigma_data) {}

GuidedModel::GuidedModel(const DiffusionModel& model, const Request& request,
                         const EncodedPrompt& prompt, int64_t pictures) {
  const int64_t channels = model.denoiser->config.input_channels;
  const Shape once({pictures, channels, *request.height, *request.width});
  conditional_ = std::make_unique<Branch>(model, once, prompt.Bind(pictures, false));
  const GuidanceOptions guidance = GuidanceOf(request);
  if (guidance.scale == 1) return;
  const Shape twice({2 * pictures, channels, *request.height, *request.width});
  both_ = std::make_unique<Branch>(model, twice, prompt.Bind(pictures, true));
  guided_ = std::make_unique<GuidedDenoiser>(both_->denoiser, conditional_->denoiser, guidance);
}

void GuidedModel::Condition(Context& ctx) {
  for (Branch* branch : {conditional_.get(), both_.get()}) {
    if (branch != nullptr) branch->session.Condition(ctx, branch->conditions.view());
  }
}

Denoiser& GuidedModel::denoiser() {
  return guided_ ? static_cast<Denoiser&>(*guided_) : conditional_->denoiser;
}

}  // namespace gesso
