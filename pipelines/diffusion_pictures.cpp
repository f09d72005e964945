#include "pipelines/diffusion_pictures.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/elementwise.h"
#include "pipelines/conditions.h"
#include "pipelines/guided_model.h"
#include "pipelines/media/image_file.h"
#include "pipelines/memory.h"
#include "pipelines/model_cost.h"
#include "samplers/registry.h"

namespace gesso {

namespace {

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
  return defaults;
}

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
  CheckCondition(request, model.text != nullptr, model.denoiser->config.num_classes);
  Require(*request.cfg_scale == 1 || model.is_guidable(), ErrorKind::kUsage,
          "cfg_scale: model '{}' is unconditional, there is nothing to guide", *request.model);
  Require(*request.cfg_scale != 1 || (request.negative_prompt.value_or("").empty() &&
                                      request.cfg_rescale.value_or(0) == 0),
          ErrorKind::kUsage,
          "negative_prompt, cfg_rescale: have no effect without guidance (cfg_scale 1)");
  Require(!request.strength || request.init_image, ErrorKind::kUsage,
          "strength: needs a picture to start from (init_image)");
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

Job PrepareJob(const DiffusionModel& model, const Request& request) {
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

// Some pictures of a job that are made together.
class DiffusionBatch : public PictureBatch {
 public:
  DiffusionBatch(const Job& job, int64_t count)
      : job_(job), count_(count), guided_(job.model, job.request, job.prompt, count) {}

  int64_t ArenaBytes() override {
    Arena arena(Device::kMeta, 0);
    Context ctx{.device = Device::kMeta, .arena = &arena};
    guided_.Condition(ctx);
    const View x = arena.Alloc(ShapeOfPictures(), DType::kF32);
    const size_t levels = std::min(job_.sigmas.size(), kDryRunSteps + 1);
    Sample(ctx, 0, x, std::span(job_.sigmas).first(levels), nullptr);
    return static_cast<int64_t>(arena.peak_bytes());
  }

  std::vector<Image> Run(Context& ctx, int64_t first, GenerateObserver& observer) override {
    const Arena::Scope scope(*ctx.arena);
    guided_.Condition(ctx);
    const View x = ctx.arena->Alloc(ShapeOfPictures(), DType::kF32);
    Start(ctx, first, x);
    Sample(ctx, first, x, job_.sigmas, [&](const SamplerStep& step) {
      const std::function<std::vector<Image>()> preview = [&] { return ToImages(step.denoised); };
      observer.OnStep({first, count_, step.progress, preview});
    });
    RequireFinite(x, job_.request);
    return ToImages(x);
  }

 private:
  Shape ShapeOfPictures() const {
    return {count_, job_.model.denoiser->config.input_channels, *job_.request.height,
            *job_.request.width};
  }

  void Start(Context& ctx, int64_t first, View x) const {
    DrawStart(ctx, SeedsOf(job_.request, first, count_), x);
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
    const auto noise = MakeNoise(job_.sampler.noise, SeedsOf(job_.request, first, count_));
    job_.sample(ctx, {guided_.denoiser(), x, sigmas, *noise, observer});
  }

  const Job& job_;
  int64_t count_;
  GuidedModel guided_;
};

// Activations grow with the number of pixels, so a picture of the model's own size tells before the
// tables of positions of a far too large one are built.
void RequireRoomForPixels(const Job& job) {
  Request own = job.request;
  own.width = std::min(*own.width, *job.model.defaults.width);
  own.height = std::min(*own.height, *job.model.defaults.height);
  const Job small{job.model, own, job.prompt, job.sampler, job.sample, job.sigmas, {}};
  const int64_t times = (*job.request.width * *job.request.height) / (*own.width * *own.height);
  if (times == 1) return;
  const int64_t bytes = DiffusionBatch(small, 1).ArenaBytes() * times;
  // What does not grow was counted too often: only twice as much as there is is surely too much.
  if (bytes / 2 > AvailableMemory()) {
    RequireMemory(bytes,
                  fmt::format("a picture of {} x {}", *job.request.width, *job.request.height));
  }
}

class DiffusionJob : public PictureJob {
 public:
  DiffusionJob(const DiffusionModel& model, const Request& request)
      : job_(PrepareJob(model, request)) {}

  int64_t MaxBatch() const override { return job_.sampler.couples_batch ? 1 : kMaxTogether; }
  int64_t StateBytes(int64_t) const override { return 0; }
  void RequireRoom() const override { RequireRoomForPixels(job_); }
  std::unique_ptr<PictureBatch> MakeBatch(int64_t count) const override {
    return std::make_unique<DiffusionBatch>(job_, count);
  }

 private:
  Job job_;
};

Json DescribeConditions(const DiffusionModel& model) {
  Json conditions = Json::array();
  if (model.text != nullptr) conditions.push_back("text");
  const int64_t classes = model.denoiser->config.num_classes;
  if (classes > 0) conditions.push_back(fmt::format("{} classes", classes));
  return conditions;
}

class DiffusionPictures : public PictureModel {
 public:
  explicit DiffusionPictures(DiffusionModel model) : model_(std::move(model)) {}

  Request defaults() const override { return Merge(BuiltInDefaults(), model_.defaults); }

  void Complete(Request& request) const override {
    Require(!request.mask, ErrorKind::kUnsupported,
            "mask: diffusion models cannot paint a part of a picture yet; next-scale models can");
    static constexpr std::array<std::string_view, 7> kForeign = {
        "cache", "top_k", "top_p", "temperature", "cfg_per_scale", "more_smooth", "vae_tile_size"};
    RefuseFields(request, kForeign, "the model makes pictures by diffusion, not out of tokens");
    CheckInputs(model_, request);
    request.prompt = request.prompt.value_or("");
    request.negative_prompt = request.negative_prompt.value_or("");
    if (request.init_image && !request.strength) request.strength = 0.75;
    CheckSize(model_.denoiser->config, request);
    MakeSampler(*request.sampling_method);
    MakeSchedule(*request.scheduler);
  }

  std::unique_ptr<PictureJob> Prepare(const Request& resolved) const override {
    return std::make_unique<DiffusionJob>(model_, resolved);
  }

  Json Describe(const Request& resolved) const override {
    const hdit::Config& config = model_.denoiser->config;
    const PassCost cost = CountPass(model_, resolved, 1);
    Json levels = Json::array();
    for (const hdit::LevelConfig& level : config.levels) {
      levels.push_back({{"width", level.width}, {"depth", level.depth}});
    }
    return {{"kind", "Hourglass Diffusion Transformer"},
            {"conditions", DescribeConditions(model_)},
            {"levels", std::move(levels)},
            {"sizes_are_multiples_of", {config.width_multiple(), config.height_multiple()}},
            {"noise_levels", {config.sigma_min, config.sigma_max}},
            {"forward_pass",
             {{"width", *resolved.width},
              {"height", *resolved.height},
              {"flops", cost.flops},
              {"bytes", cost.bytes},
              {"activation_bytes", cost.arena_bytes}}}};
  }

 private:
  DiffusionModel model_;
};

}  // namespace

std::unique_ptr<PictureModel> LoadDiffusionFolder(const std::filesystem::path& folder,
                                                  Device device, DType dtype) {
  return std::make_unique<DiffusionPictures>(LoadDiffusionModel(folder, device, dtype));
}

std::unique_ptr<PictureModel> LoadDiffusionCheckpoint(Weights weights, Device device, DType dtype) {
  return std::make_unique<DiffusionPictures>(MakeDiffusionModel(std::move(weights), device, dtype));
}

}  // namespace gesso
