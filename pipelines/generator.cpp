#include "pipelines/generator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/elementwise.h"
#include "pipelines/guided_model.h"
#include "pipelines/installed_models.h"
#include "pipelines/media/image_file.h"
#include "pipelines/memory.h"
#include "samplers/registry.h"

namespace gesso {

namespace {

// Pictures made together: more gain little speed, and an interruption loses them all.
constexpr int64_t kMaxBatch = 8;
// A sampler's memory does not grow after its first steps.
constexpr size_t kDryRunSteps = 8;

// Settings where neither the request nor the model has any.
Request BuiltInDefaults() {
  Request defaults;
  defaults.steps = 30;
  defaults.cfg_scale = 1;
  defaults.cfg_rescale = 0;
  defaults.sampling_method = "dpmpp_2m";
  defaults.scheduler = "karras";
  defaults.batch_count = 1;
  defaults.dtype = "float32";
  return defaults;
}

// Short enough to be read out and typed in again.
uint64_t ChooseSeed() { return std::random_device{}(); }

// The multiples of `unit` next to `value`, as "64", or "64 or 72".
std::string Nearest(int64_t value, int64_t unit) {
  const int64_t below = value / unit * unit;
  return below == 0 ? std::to_string(unit) : fmt::format("{} or {}", below, below + unit);
}

void CheckSize(const hdit::Config& config, const Request& request) {
  const auto check = [](std::string_view name, int64_t value, int64_t unit) {
    Require(value % unit == 0, ErrorKind::kUsage,
            "{} {}: this model makes multiples of {} pixels; the nearest is {}", name, value, unit,
            Nearest(value, unit));
  };
  check("width", *request.width, config.width_multiple());
  check("height", *request.height, config.height_multiple());
}

void CheckInputs(const DiffusionModel& model, const Request& request) {
  const int64_t channels = model.denoiser->config.input_channels;
  Require(channels == 1 || channels == 3 || channels == 4, ErrorKind::kUnsupported,
          "model '{}' makes pictures of {} channels; PNG files hold 1, 3 or 4", *request.model,
          channels);
  const int64_t classes = model.denoiser->config.num_classes;
  Require(!request.class_label || classes > 0, ErrorKind::kUsage,
          "class_label: model '{}' knows no classes", *request.model);
  Require(!request.class_label || *request.class_label < classes, ErrorKind::kUsage,
          "class_label: {} is none of the {} classes (0 .. {}) of model '{}'",
          request.class_label.value_or(0), classes, classes - 1, *request.model);
  Require(request.prompt || model.text == nullptr, ErrorKind::kUsage,
          "there is no prompt (an empty one, \"\", is allowed)");
  const bool has_text =
      !request.prompt.value_or("").empty() || !request.negative_prompt.value_or("").empty();
  Require(!has_text || model.text != nullptr, ErrorKind::kUsage,
          "prompt: model '{}' takes no text{}", *request.model,
          classes > 0 ? "; choose a class with --class-label" : "");
  Require(*request.cfg_scale == 1 || model.is_guidable(), ErrorKind::kUsage,
          "cfg_scale: model '{}' is unconditional, there is nothing to guide", *request.model);
  Require(*request.cfg_scale != 1 || (request.negative_prompt.value_or("").empty() &&
                                      request.cfg_rescale.value_or(0) == 0),
          ErrorKind::kUsage,
          "negative_prompt, cfg_rescale: have no effect without guidance (cfg_scale 1)");
  Require(!request.strength || request.init_image, ErrorKind::kUsage,
          "strength: needs a picture to start from (init_image)");
}

std::string NameOf(const Request& request) {
  return fmt::format("a picture of {} x {}", *request.width, *request.height);
}

// What all parts of a batch share.
struct Job {
  const DiffusionModel& model;
  const Request& request;
  EncodedPrompt prompt;
  const SamplerInfo& sampler;
  Sampler sample;
  std::vector<double> sigmas;  // those of the steps to take; fewer than two: none
  Tensor start;                // [1, C, H, W], or empty: noise alone
};

Job Prepare(const DiffusionModel& model, const Request& request) {
  const hdit::Config& config = model.denoiser->config;
  Job job{model,
          request,
          EncodedPrompt(model, request),
          FindSampler(*request.sampling_method),
          MakeSampler(*request.sampling_method),
          MakeSchedule(*request.scheduler)(*request.steps, config.sigma_min, config.sigma_max),
          {}};
  if (!request.init_image) return job;
  const Image image = ReadImage(*request.init_image, static_cast<int>(config.input_channels));
  const double strength = *request.strength;
  if (strength == 1) return job;  // nothing of the picture would remain
  job.start = ToTensor(
      ResizeAndCrop(image, static_cast<int>(*request.width), static_cast<int>(*request.height)));
  const auto steps = static_cast<double>(job.sigmas.size() - 1);
  const auto taken = static_cast<std::ptrdiff_t>(std::ceil(steps * strength));
  job.sigmas.erase(job.sigmas.begin(), job.sigmas.end() - 1 - taken);
  return job;
}

std::vector<uint64_t> SeedsOf(const Job& job, int64_t first, int64_t count) {
  std::vector<uint64_t> seeds;
  for (int64_t i = 0; i < count; ++i) {
    seeds.push_back(*job.request.seed + static_cast<uint64_t>(first + i));
  }
  return seeds;
}

// Some pictures of a job that are made together.
class Batch {
 public:
  Batch(const Job& job, int64_t count)
      : job_(job), count_(count), guided_(job.model, job.request, job.prompt, count) {}

  // Bytes of arena that Run needs, from a run on the meta device.
  int64_t ArenaBytes() {
    Arena arena(Device::kMeta, 0);
    Context ctx{.device = Device::kMeta, .arena = &arena};
    guided_.Condition(ctx);
    const View x = arena.Alloc(ShapeOfPictures(), DType::kF32);
    const size_t levels = std::min(job_.sigmas.size(), kDryRunSteps + 1);
    Sample(ctx, 0, x, std::span(job_.sigmas).first(levels), nullptr);
    return static_cast<int64_t>(arena.peak_bytes());
  }

  std::vector<Image> Run(Context& ctx, int64_t first, GenerateObserver& observer) {
    const Arena::Scope scope(*ctx.arena);
    guided_.Condition(ctx);
    const View x = ctx.arena->Alloc(ShapeOfPictures(), DType::kF32);
    Start(ctx, first, x);
    Sample(ctx, first, x, job_.sigmas, [&](const SamplerStep& step) {
      observer.OnStep({first, count_, step.progress, step.sigma, step.denoised});
    });
    const float* values = x.Data<float>();
    Require(std::all_of(values, values + x.numel(), [](float v) { return std::isfinite(v); }),
            ErrorKind::kFormat, "model '{}' gave values that are not numbers", *job_.request.model);
    return ToImages(x);
  }

 private:
  Shape ShapeOfPictures() const {
    return {count_, job_.model.denoiser->config.input_channels, *job_.request.height,
            *job_.request.width};
  }

  void Start(Context& ctx, int64_t first, View x) const {
    DrawStart(ctx, SeedsOf(job_, first, count_), x);
    const auto sigma = static_cast<float>(job_.sigmas.size() > 1 ? job_.sigmas.front() : 0);
    for (int64_t i = 0; i < count_; ++i) {
      const View picture = x.Slice(0, i, i + 1);
      std::vector<Term> terms = {{sigma, picture}};
      if (!job_.start.empty()) terms.push_back({1, job_.start});
      LinearCombination(ctx, {.terms = terms, .out = picture});
    }
  }

  void Sample(Context& ctx, int64_t first, View x, std::span<const double> sigmas,
              const Observer& observer) {
    if (sigmas.size() < 2) return;
    const auto noise = MakeNoise(job_.sampler.noise, SeedsOf(job_, first, count_));
    job_.sample(ctx, {guided_.denoiser(), x, sigmas, *noise, observer});
  }

  const Job& job_;
  int64_t count_;
  GuidedModel guided_;
};

// Refuses what is far too large before its tables of positions are built: activations grow with
// the number of pixels, so a picture of the model's own size tells.
void RequireRoomForPixels(const Job& job) {
  Request own = job.request;
  own.width = std::min(*own.width, *job.model.defaults.width);
  own.height = std::min(*own.height, *job.model.defaults.height);
  const Job small{job.model, own, job.prompt, job.sampler, job.sample, job.sigmas, {}};
  const int64_t times = (*job.request.width * *job.request.height) / (*own.width * *own.height);
  if (times == 1) return;
  const int64_t bytes = Batch(small, 1).ArenaBytes() * times;
  // What does not grow was counted too often: only twice as much as there is is surely too much.
  if (bytes / 2 > AvailableMemory()) RequireMemory(bytes, NameOf(job.request));
}

// Settings of one of the pictures of a request.
Request SettingsOf(const Request& request, int64_t index) {
  Request settings = request;
  settings.seed = *request.seed + static_cast<uint64_t>(index);
  settings.batch_count = 1;
  return settings;
}

}  // namespace

const DiffusionModel& Generator::ModelOf(const Request& request) {
  const std::filesystem::path path = FindModel(*request.model);
  const DType dtype = ParseDType(*request.dtype);
  if (!model_ || model_->path != path || model_->dtype != dtype) {
    model_.reset();
    model_ = LoadDiffusionModel(path, device_, dtype);
  }
  return *model_;
}

Request Generator::Resolve(const Request& request) {
  Request resolved = Merge(BuiltInDefaults(), request);
  if (!resolved.model) resolved.model = kDefaultModel;
  const DiffusionModel& model = ModelOf(resolved);
  resolved = Merge(Merge(resolved, model.defaults), request);
  CheckInputs(model, resolved);
  resolved.prompt = resolved.prompt.value_or("");
  resolved.negative_prompt = resolved.negative_prompt.value_or("");
  if (!resolved.seed) resolved.seed = ChooseSeed();
  if (resolved.init_image && !resolved.strength) resolved.strength = 0.75;
  CheckSize(model.denoiser->config, resolved);
  MakeSampler(*resolved.sampling_method);
  MakeSchedule(*resolved.scheduler);
  return resolved;
}

void Generator::Run(const Request& resolved, GenerateObserver& observer) {
  const Job job = Prepare(ModelOf(resolved), resolved);
  RequireRoomForPixels(job);
  const int64_t total = *resolved.batch_count;
  int64_t size = job.sampler.couples_batch ? 1 : std::min(total, kMaxBatch);
  auto batch = std::make_unique<Batch>(job, size);
  int64_t bytes = batch->ArenaBytes();
  for (; size > 1 && bytes > AvailableMemory(); bytes = batch->ArenaBytes()) {
    size /= 2;
    batch = std::make_unique<Batch>(job, size);
  }
  RequireMemory(bytes, NameOf(resolved));
  Arena arena(device_, static_cast<size_t>(bytes));
  Context ctx{.device = device_, .arena = &arena};
  for (int64_t first = 0; first < total; first += size) {
    if (size > total - first) {
      size = total - first;
      batch = std::make_unique<Batch>(job, size);
    }
    std::vector<Image> images = batch->Run(ctx, first, observer);
    for (int64_t i = 0; i < size; ++i) {
      observer.OnPicture(
          {std::move(images[static_cast<size_t>(i)]), first + i, SettingsOf(resolved, first + i)});
    }
  }
}

}  // namespace gesso
