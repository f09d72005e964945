#include "pipelines/video/clip_generator.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

#include "pipelines/diffusion_request.h"
#include "pipelines/installed_models.h"
#include "pipelines/media/image_file.h"
#include "pipelines/memory.h"
#include "pipelines/picture_model.h"
#include "pipelines/video/clip_plan.h"
#include "pipelines/video/frames.h"
#include "pipelines/video/interpolator.h"
#include "pipelines/video/window_sampler.h"

namespace gesso {

namespace {

Request BuiltInDefaults() {
  Request defaults;
  defaults.model = std::string(kDefaultClipModel);
  defaults.dtype = "float32";
  return defaults;
}

ClipPlan PlanOf(const NetworkTraits& traits, const Request& request) {
  const int64_t overlap = request.overlap.value_or(std::max<int64_t>(1, traits.frames / 4));
  return PlanClip(*request.frames, traits.frames, overlap, request.loop.value_or(false));
}

// Complete for a request with a prompt schedule.
void CompleteSchedule(const DiffusionModel& model, Request& request) {
  const std::vector<ScheduledPrompt> schedule = ParsePromptSchedule(*request.prompt_schedule);
  Require(schedule.back().frame < *request.frames, ErrorKind::kUsage,
          "prompt_schedule: frame {} lies beyond the clip's {} frames", schedule.back().frame,
          *request.frames);
  request.prompt = schedule.front().prompt;
  CompleteDiffusion(model, request);
  request.prompt.reset();
}

// Fills in what depends on other fields. Throws kUsage for what does not fit together.
void Complete(const DiffusionModel& model, Request& request) {
  if (request.prompt_schedule) {
    CompleteSchedule(model, request);
  } else {
    CompleteDiffusion(model, request);
  }
  const NetworkTraits& traits = model.traits();
  Require(traits.channels < 4, ErrorKind::kUnsupported,
          "model '{}' makes frames of {} channels; clips hold 1 or 3", *request.model,
          traits.channels);
  const ClipPlan plan = PlanOf(traits, request);
  Require(!request.overlap || plan.parts.size() > 1, ErrorKind::kUsage,
          "overlap: has no effect: {} frames are made in one part", *request.frames);
  Require(plan.length % traits.frames_multiple == 0, ErrorKind::kUsage,
          "frames: this model makes loops of multiples of {} frames, not of {}",
          traits.frames_multiple, *request.frames);
  Interpolator::RequireFit(request.interpolate.value_or(0), plan.length);
}

// One clip being made.
class ClipRun {
 public:
  ClipRun(const DiffusionModel& model, const Request& request, Device device,
          const WindowStore* store, ClipObserver& observer)
      : request_(request),
        store_(store),
        observer_(observer),
        plan_(PlanOf(model.traits(), request)),
        sampler_(model, request, plan_.length),
        arena_(device, ArenaBytes()),
        ctx_{.device = device, .arena = &arena_} {
    windows_ = static_cast<int64_t>(plan_.parts.size());
    if (request.interpolate.value_or(0) == 0) return;
    between_.emplace(
        *request.interpolate, sampler_.shape(),
        [this](Window window) { return Work(std::move(window)); },
        [this](ConstView frame) { Emit(frame); });
    windows_ += between_->CountWindows(*request.frames, is_loop());
  }

  void Run() {
    Tensor before;   // frames of the last part that the next one begins with
    Tensor opening;  // the clip's first frames, to which a loop leads back
    for (size_t i = 0; i < plan_.parts.size(); ++i) {
      const ClipPart& part = plan_.parts[i];
      const Tensor frames = Work(WindowOf(part, before, opening));
      if (i + 1 < plan_.parts.size()) {
        const ClipPart& next = plan_.parts[i + 1];
        before = TakeFrames(frames, next.first - part.first, next.head);
      }
      if (i == 0 && is_loop()) {
        opening = TakeFrames(frames, 0, std::max<int64_t>(1, plan_.parts.back().tail));
      }
      for (int64_t t = 0; t < part.end - part.first; ++t) Deliver(TakeFrames(frames, t, 1));
    }
    if (!between_) return;
    Tensor first;
    if (is_loop()) first = TakeFrames(opening, 0, 1);
    between_->Finish(is_loop() ? &first : nullptr);
  }

 private:
  bool is_loop() const { return request_.loop.value_or(false); }

  size_t ArenaBytes() {
    const int64_t bytes = sampler_.ArenaBytes();
    RequireMemory(bytes, fmt::format("{} frames of {} x {}", plan_.length, *request_.width,
                                     *request_.height));
    return static_cast<size_t>(bytes);
  }

  Window WindowOf(const ClipPart& part, const Tensor& before, const Tensor& opening) const {
    Window window{.rolled = plan_.rolled};
    for (int64_t t = 0; t < plan_.length; ++t) {
      const int64_t frame = part.first + t;
      window.noise_frames.push_back(is_loop() ? frame % *request_.frames : frame);
      window.times.push_back(window.noise_frames.back());
    }
    const bool starts = part.first == 0 && request_.init_image.has_value();
    if (part.head + part.tail == 0 && !starts) return window;
    window.known = Tensor(sampler_.shape(), DType::kF32);
    window.held.assign(static_cast<size_t>(plan_.length), 0.0f);
    const View known = window.known.mutable_view();
    if (starts) Hold(window, FirstFrame(), 0, 1);
    if (part.head > 0) {
      PutFrames(before, 0, known);
      // From the old frames to the new ones.
      for (int64_t t = 0; t < part.head; ++t) {
        window.held[static_cast<size_t>(t)] =
            1 - static_cast<float>(t) / static_cast<float>(part.head);
      }
    }
    if (part.tail > 0) Hold(window, opening, plan_.length - part.tail, 1);
    return window;
  }

  static void Hold(Window& window, const Tensor& frames, int64_t at, float weight) {
    PutFrames(frames, at, window.known.mutable_view());
    std::fill_n(window.held.begin() + at, frames.shape()[2], weight);
  }

  Tensor FirstFrame() const {
    const Shape& shape = sampler_.shape();
    const Image image = ReadImage(*request_.init_image, static_cast<int>(shape[1]));
    const Tensor frame =
        ToTensor(ResizeAndCrop(image, static_cast<int>(shape[4]), static_cast<int>(shape[3])));
    return TakeFrames(frame.view().Reshape({1, shape[1], 1, shape[3], shape[4]}), 0, 1);
  }

  // The window's frames, from the store or made now.
  Tensor Work(Window window) {
    const int64_t index = done_++;
    if (store_ != nullptr) {
      if (std::optional<Tensor> saved = store_->Load(index, sampler_.shape())) return *saved;
    }
    window.index = static_cast<uint64_t>(index);
    Tensor frames = sampler_.Sample(ctx_, window, [&](const SamplerStep& step) {
      observer_.OnStep({index, windows_, step.progress});
    });
    if (store_ != nullptr) store_->Save(index, frames);
    observer_.OnStep({index, windows_, 1});
    return frames;
  }

  // A frame as sampled, [1, C, 1, H, W].
  void Deliver(Tensor frame) {
    if (between_) return between_->Add(std::move(frame));
    Emit(frame);
  }

  void Emit(ConstView frame) {
    const Shape& s = frame.shape;
    observer_.OnFrame(ToImages(frame.Reshape({1, s[1], s[3], s[4]})).front());
  }

  const Request& request_;
  const WindowStore* store_;
  ClipObserver& observer_;
  ClipPlan plan_;
  WindowSampler sampler_;
  Arena arena_;
  Context ctx_;
  std::optional<Interpolator> between_;
  int64_t windows_ = 0;
  int64_t done_ = 0;
};

}  // namespace

Request ClipGenerator::Resolve(const Request& request) {
  RefuseMedium(request, Medium::kPicture, "it is of pictures, which gesso generate makes");
  RefuseAlternatives(request);
  Request resolved = Merge(BuiltInDefaults(), request);
  model_ = LoadDiffusionModel(FindModel(*resolved.model), device_, ParseDType(*resolved.dtype));
  Require(model_.traits().frames > 1, ErrorKind::kUsage,
          "model '{}' makes pictures, not clips: use gesso generate", *resolved.model);
  resolved = Merge(Merge(resolved, DiffusionDefaults(model_)), request);
  if (!resolved.seed) resolved.seed = std::random_device{}();
  Complete(model_, resolved);
  return resolved;
}

ClipFormat ClipGenerator::FormatOf(const Request& resolved) const {
  const int64_t between = resolved.interpolate.value_or(0);
  const int64_t gaps = *resolved.frames - (resolved.loop.value_or(false) ? 0 : 1);
  return {static_cast<int>(*resolved.width), static_cast<int>(*resolved.height),
          static_cast<int>(model_.traits().channels), *resolved.frames + gaps * between,
          *resolved.fps * static_cast<double>(between + 1)};
}

void ClipGenerator::Run(const Request& resolved, const WindowStore* store, ClipObserver& observer) {
  ClipRun(model_, resolved, device_, store, observer).Run();
}

}  // namespace gesso
