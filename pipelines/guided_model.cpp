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

GuidedModel::Branch::Branch(const DiffusionModel& model, const Shape& shape, Conditions bound)
    : conditions(std::move(bound)),
      session(model.network->MakeSession(shape)),
      denoiser([this](Context& ctx, ConstView x, std::span<const double> sigmas,
                      View out) { session->Forward(ctx, x, sigmas, out); },
               model.traits().sigma_data) {}

GuidedModel::GuidedModel(const DiffusionModel& model, const Request& request,
                         const EncodedPrompt& prompt, const Shape& shape) {
  conditional_ = std::make_unique<Branch>(model, shape, prompt.Bind(shape[0], false));
  const GuidanceOptions guidance = GuidanceOf(request);
  if (guidance.scale == 1) return;
  Shape twice = shape;
  twice.Set(0, 2 * shape[0]);
  both_ = std::make_unique<Branch>(model, twice, prompt.Bind(shape[0], true));
  guided_ = std::make_unique<GuidedDenoiser>(both_->denoiser, conditional_->denoiser, guidance);
}

void GuidedModel::Condition(Context& ctx) {
  for (Branch* branch : {conditional_.get(), both_.get()}) {
    if (branch != nullptr) branch->session->Condition(ctx, branch->conditions);
  }
}

Denoiser& GuidedModel::denoiser() {
  return guided_ ? static_cast<Denoiser&>(*guided_) : conditional_->denoiser;
}

}  // namespace gesso
