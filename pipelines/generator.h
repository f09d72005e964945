// From a request to pictures: validate, condition once, noise from the seed, sampler loop over the
// guided model, pictures with the settings that make them again. The model stays loaded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "pipelines/diffusion_model.h"
#include "pipelines/image.h"

namespace gesso {

struct StepReport {
  int64_t first;       // index in the job of the first of the pictures being made
  int64_t count;       // how many are being made together
  double progress;     // of these, 0 .. 1
  double sigma;        // noise level
  ConstView denoised;  // [count, C, H, W] f32: what they will look like
};

struct Picture {
  Image image;
  int64_t index;    // in the job
  Request request;  // complete settings, for this picture alone
};

// Follows the work. Throwing Error(kCancelled) ends it; pictures already shown are complete.
class GenerateObserver {
 public:
  virtual ~GenerateObserver() = default;
  virtual void OnStep(const StepReport& step) = 0;
  virtual void OnPicture(const Picture& picture) = 0;
};

class Generator {
 public:
  explicit Generator(Device device) : device_(device) {}

  // `request` with every open field filled in from the model's defaults, then the built-in ones;
  // a seed is chosen. Loads the model. Throws kUsage for what the model cannot do.
  Request Resolve(const Request& request);

  // Makes batch_count pictures; picture i has seed + i and does not depend on the others. A batch
  // is cut into parts that fit into memory. Throws kMemory, with the number of bytes, before
  // the work starts if not even one picture fits.
  void Run(const Request& resolved, GenerateObserver& observer);

 private:
  const DiffusionModel& ModelOf(const Request& request);

  Device device_;
  std::optional<DiffusionModel> model_;  // the one used last
};

}  // namespace gesso
