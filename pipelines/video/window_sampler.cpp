#include "pipelines/video/window_sampler.h"

#include <algorithm>
#include <array>
#include <optional>

#include "kernels/elementwise.h"
#include "pipelines/conditions.h"
#include "pipelines/video/frames.h"

namespace gesso {

namespace {

constexpr size_t kDryRunSteps = 8;  // a sampler's memory does not grow after its first steps
constexpr uint64_t kSeedStep = 0x9E3779B97F4A7C15;  // from window to window, odd

}  // namespace

WindowSampler::WindowSampler(const DiffusionModel& model, const Request& request, int64_t length)
    : request_(request),
      shape_(model.traits().BatchShape(1, length, *request.height, *request.width)),
      schedule_(request.prompt_schedule ? ParsePromptSchedule(*request.prompt_schedule)
                                        : std::vector<ScheduledPrompt>{{0, *request.prompt}}),
      sampler_(FindSampler(*request.sampling_method)),
      sample_(MakeSampler(*request.sampling_method)),
      sigmas_(MakeSchedule(*request.scheduler)(*request.steps, model.traits().sigma_min,
                                               model.traits().sigma_max)) {
  for (const ScheduledPrompt& part : schedule_) {
    Request one = request;
    one.prompt = part.prompt;
    prompts_.push_back(std::make_unique<EncodedPrompt>(model, one));
    models_.push_back(std::make_unique<GuidedModel>(model, one, *prompts_.back(), shape_));
  }
}

int64_t WindowSampler::ArenaBytes() {
  Arena arena(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  // The dearest one: every prompt at once, and frames both rolled and held.
  const auto frames = static_cast<size_t>(shape_[2]);
  Window window{.known = Tensor(shape_, DType::kF32), .held = std::vector<float>(frames, 0.5f)};
  window.noise_frames.resize(frames);
  for (size_t t = 0; t < frames; ++t) {
    window.times.push_back(schedule_[std::min(t, schedule_.size() - 1)].frame);
  }
  window.rolled = true;
  const View x = arena.Alloc(shape_, DType::kF32);
  Run(ctx, window, std::span(sigmas_).first(std::min(sigmas_.size(), kDryRunSteps + 1)), x,
      nullptr);
  return static_cast<int64_t>(arena.peak_bytes());
}

Tensor WindowSampler::Sample(Context& ctx, const Window& window, const Observer& observer) {
  Tensor frames(shape_, DType::kF32);
  const Arena::Scope scope(*ctx.arena);
  const View x = ctx.arena->Alloc(shape_, DType::kF32);
  Run(ctx, window, sigmas_, x, observer);
  const std::array<Term, 1> copy = {Term{1, x}};
  LinearCombination(ctx, {.terms = copy, .out = frames.mutable_view()});
  RequireFinite(frames, request_);
  // Some samplers end at the smallest noise level, and all of them round.
  for (size_t t = 0; t < window.held.size(); ++t) {
    if (window.held[t] != 1) continue;
    const auto at = static_cast<int64_t>(t);
    PutFrames(TakeFrames(window.known, at, 1), at, frames.mutable_view());
  }
  return frames;
}

// x = known + sigma noise, where frames are known.
void WindowSampler::Start(Context& ctx, const Window& window, View x) const {
  DrawFrames(ctx, *request_.seed, window.noise_frames, x);
  std::vector<Term> terms = {{static_cast<float>(sigmas_.front()), x}};
  if (!window.known.empty()) terms.push_back({1, window.known});
  LinearCombination(ctx, {.terms = terms, .out = x});
}

void WindowSampler::Run(Context& ctx, const Window& window, std::span<const double> sigmas, View x,
                        const Observer& observer) {
  const Arena::Scope scope(*ctx.arena);
  std::vector<Denoiser*> parts;
  for (const auto& model : models_) {
    model->Condition(ctx);
    parts.push_back(&model->denoiser());
  }
  std::vector<size_t> which;
  for (const int64_t time : window.times) which.push_back(PromptAt(schedule_, time));
  FrameChoice choice(std::move(parts), std::move(which));
  RolledFrames rolled(choice);
  Denoiser& free = window.rolled ? static_cast<Denoiser&>(rolled) : choice;
  std::optional<HeldFrames> held;
  if (!window.known.empty()) held.emplace(free, window.known, window.held);
  Start(ctx, window, x);
  const auto noise = MakeNoise(sampler_.noise, {*request_.seed + window.index * kSeedStep});
  sample_(ctx, {held ? static_cast<Denoiser&>(*held) : free, x, sigmas, *noise, observer});
}

}  // namespace gesso
