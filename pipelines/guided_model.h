// A model bound to one batch of pictures or clips and to what they shall show: the denoiser that
// samplers call, with classifier-free guidance around it where the request asks for some.
#pragma once

#include <memory>

#include "pipelines/diffusion_model.h"
#include "samplers/guidance.h"
#include "samplers/parameterisation.h"

namespace gesso {

class GuidedModel {
 public:
  // For a batch of `shape` (NetworkTraits::BatchShape), guided as a resolved request says.
  GuidedModel(const DiffusionModel& model, const Request& request, const EncodedPrompt& prompt,
              const Shape& shape);

  // Prepares everything that does not change from step to step; first of all on each device.
  void Condition(Context& ctx);
  Denoiser& denoiser();

 private:
  // The network for one batch with one row of conditions a picture.
  struct Branch {
    Branch(const DiffusionModel& model, const Shape& shape, Conditions bound);

    Conditions conditions;
    std::unique_ptr<DiffusionSession> session;
    KarrasDenoiser denoiser;
  };

  std::unique_ptr<Branch> conditional_;
  std::unique_ptr<Branch> both_;  // [unconditional, conditional] in one batch; with guidance only
  std::unique_ptr<GuidedDenoiser> guided_;
};

}  // namespace gesso
