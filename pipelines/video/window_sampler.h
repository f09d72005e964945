// One window of a clip: as many frames as a network denoises together, some of them given.
#pragma once

#include <memory>
#include <vector>

#include "pipelines/guided_model.h"
#include "pipelines/video/prompt_schedule.h"
#include "samplers/clip_denoisers.h"
#include "samplers/registry.h"

namespace gesso {

// T frames.
struct Window {
  uint64_t index = 0;                      // among the windows of the clip
  std::vector<int64_t> noise_frames = {};  // whose noise each frame starts from (DrawFrames)
  std::vector<int64_t> times = {};         // frame of the prompt schedule that each frame follows
  Tensor known = {};             // [1, C, T, H, W] f32 in [-1, 1]; empty: nothing is given
  std::vector<float> held = {};  // [T] weight of the known frame: 1 keeps it as it is
  bool rolled = false;           // the last frame leads to the first
};

class WindowSampler {
 public:
  // For windows of `length` frames of a resolved request. Keeps references to both.
  WindowSampler(const DiffusionModel& model, const Request& request, int64_t length);

  Shape shape() const { return shape_; }  // [1, C, T, H, W]
  // Bytes of arena that Sample needs for any window, from a run on the meta device.
  int64_t ArenaBytes();
  // The window's frames [1, C, T, H, W] f32, about [-1, 1]. Throws kFormat where the model gives
  // values that are not numbers.
  Tensor Sample(Context& ctx, const Window& window, const Observer& observer);

 private:
  void Run(Context& ctx, const Window& window, std::span<const double> sigmas, View x,
           const Observer& observer);
  void Start(Context& ctx, const Window& window, View x) const;

  const Request& request_;
  Shape shape_;
  std::vector<ScheduledPrompt> schedule_;
  std::vector<std::unique_ptr<EncodedPrompt>> prompts_;  // of the schedule
  std::vector<std::unique_ptr<GuidedModel>> models_;     // one a prompt
  const SamplerInfo& sampler_;
  gesso::Sampler sample_;
  std::vector<double> sigmas_;
};

}  // namespace gesso
