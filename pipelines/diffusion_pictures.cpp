#include "pipelines/diffusion_pictures.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/core/host_copy.h"
#include "kernels/elementwise.h"
#include "pipelines/conditions.h"
#include "pipelines/diffusion_request.h"
#include "pipelines/guided_model.h"
#include "pipelines/mask/edited_picture.h"
#include "pipelines/mask/mask.h"
#include "pipelines/media/image_file.h"
#include "pipelines/memory.h"
#include "pipelines/model_cost.h"
#include "samplers/inpainting/registry.h"
#include "samplers/registry.h"
#include "samplers/tiled_denoiser.h"

namespace gesso {

namespace {

// A sampler's memory does not grow after its first steps.
constexpr size_t kDryRunSteps = 8;

// A part of a picture that is painted anew.
struct Edit {
  EditedPicture picture;
  Tensor amount;  // [H, W] f32, 0 .. 1
  Inpainter inpaint;
};

// What all parts of a batch share.
struct Job {
  const DiffusionModel& model;
  const Request& request;
  EncodedPrompt prompt;
  const SamplerInfo& sampler;
  Sampler sample;
  std::vector<double> sigmas;  // those of the steps to take; fewer than two: none
  Tensor start;                // [1, C, H, W], or empty: noise alone
  std::shared_ptr<const Edit> edit = nullptr;
};

// Chooses the method by the mask where the request has none.
std::shared_ptr<const Edit> PrepareEdit(const NetworkTraits& traits, Request& request) {
  auto edit = std::make_shared<Edit>();
  edit->picture = ReadEditedPicture(request, static_cast<int>(traits.channels));
  const Image& amount = edit->picture.amount;
  edit->amount = Tensor({amount.height, amount.width}, DType::kF32);
  std::ranges::transform(amount.pixels, edit->amount.MutableData<float>(),
                         [](uint8_t paint) { return static_cast<float>(paint) / 255.0f; });
  if (!request.inpaint) request.inpaint = IsSoft(edit->picture.mask) ? "differential" : "replace";
  edit->inpaint = MakeInpainter(*request.inpaint);
  return edit;
}

Job PrepareJob(const DiffusionModel& model, Request& request) {
  const NetworkTraits& traits = model.traits();
  Job job{model,
          request,
          EncodedPrompt(model, request),
          FindSampler(*request.sampling_method),
          MakeSampler(*request.sampling_method),
          MakeSchedule(*request.scheduler)(*request.steps, traits.sigma_min, traits.sigma_max),
          {}};
  if (!request.init_image) return job;
  const double strength = *request.strength;
  if (IsEdit(request)) {
    job.edit = PrepareEdit(traits, request);
    job.start = ToTensor(job.edit->picture.input);
  } else {
    const Image image = ReadImage(*request.init_image, static_cast<int>(traits.channels));
    if (strength == 1) return job;  // nothing of the picture would remain
    job.start = ToTensor(
        ResizeAndCrop(image, static_cast<int>(*request.width), static_cast<int>(*request.height)));
  }
  const auto steps = static_cast<double>(job.sigmas.size() - 1);
  const auto taken = static_cast<std::ptrdiff_t>(std::ceil(steps * strength));
  job.sigmas.erase(job.sigmas.begin(), job.sigmas.end() - 1 - taken);
  return job;
}

// Some pictures of a job that are made together.
class DiffusionBatch : public PictureBatch {
 public:
  DiffusionBatch(const Job& job, int64_t count)
      : job_(job),
        count_(count),
        shape_(job.model.traits().BatchShape(count, 1, *job.request.height, *job.request.width)),
        grid_(TilesOf(job.request)),
        guided_(job.model, job.request, job.prompt,
                job.model.traits().BatchShape(count, 1, grid_.height, grid_.width)),
        tiled_(guided_.denoiser(), grid_) {}

  int64_t ArenaBytes() override {
    Arena arena(Device::kMeta, 0);
    Context ctx{.device = Device::kMeta, .arena = &arena};
    guided_.Condition(ctx);
    const View x = arena.Alloc(shape_, DType::kF32);
    const size_t levels = std::min(job_.sigmas.size(), kDryRunSteps + 1);
    Sample(ctx, 0, x, std::span(job_.sigmas).first(levels), nullptr);
    return static_cast<int64_t>(arena.peak_bytes());
  }

  std::vector<Image> Run(Context& ctx, int64_t first, GenerateObserver& observer) override {
    const Arena::Scope scope(*ctx.arena);
    guided_.Condition(ctx);
    const View x = ctx.arena->Alloc(shape_, DType::kF32);
    Start(ctx, first, x);
    Sample(ctx, first, x, job_.sigmas, [&](const SamplerStep& step) {
      const std::function<std::vector<Image>()> preview = [&] { return Show(step.denoised); };
      observer.OnStep({first, count_, step.progress, preview});
    });
    const HostCopy pixels(x);
    RequireFinite(pixels.view(), job_.request);
    return Show(pixels.view());
  }

 private:
  std::vector<Image> Show(ConstView x) const {
    const HostCopy pixels(x);
    std::vector<Image> images = ToImages(pixels.view());
    if (job_.edit) {
      for (Image& image : images) image = PasteBack(job_.edit->picture, image);
    }
    return images;
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
    const bool is_tiled = job_.request.tile_size.value_or(0) > 0;
    Denoiser& denoiser = is_tiled ? static_cast<Denoiser&>(tiled_) : guided_.denoiser();
    const SamplerRun run{denoiser, x, sigmas, *noise, observer};
    if (!job_.edit) return job_.sample(ctx, run);
    job_.edit->inpaint(
        ctx, {.sample = job_.sample, .run = run, .known = job_.start, .amount = job_.edit->amount});
  }

  const Job& job_;
  int64_t count_;
  Shape shape_;
  TileGrid grid_;
  GuidedModel guided_;
  TiledDenoiser tiled_;
};

// Activations grow with the number of pixels, so a picture of the model's own size tells before the
// tables of positions of a far too large one are built.
void RequireRoomForPixels(const Job& job) {
  if (job.request.tile_size.value_or(0) > 0) return;  // of which the tables are small
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
  DiffusionJob(const DiffusionModel& model, Request& request) : job_(PrepareJob(model, request)) {}

  int64_t MaxBatch() const override { return job_.sampler.couples_batch ? 1 : kMaxTogether; }
  int64_t StateBytes(int64_t) const override { return 0; }
  void RequireRoom() const override { RequireRoomForPixels(job_); }
  std::unique_ptr<PictureBatch> MakeBatch(int64_t count,
                                          std::unique_ptr<PictureBatch> /*last*/) const override {
    return std::make_unique<DiffusionBatch>(job_, count);
  }

 private:
  Job job_;
};

Json DescribeConditions(const DiffusionModel& model) {
  Json conditions = Json::array();
  if (model.text != nullptr) conditions.push_back("text");
  const int64_t classes = model.traits().num_classes;
  if (classes > 0) conditions.push_back(fmt::format("{} classes", classes));
  return conditions;
}

class DiffusionPictures : public PictureModel {
 public:
  explicit DiffusionPictures(DiffusionModel model) : model_(std::move(model)) {}

  Request defaults() const override { return DiffusionDefaults(model_); }

  void Complete(Request& request) const override {
    Require(!request.strength || request.init_image, ErrorKind::kUsage,
            "strength: needs a picture to start from (init_image)");
    CompleteEdit(request);
    CompleteDiffusion(model_, request);
    if (request.init_image && !request.strength) request.strength = IsEdit(request) ? 1 : 0.75;
    if (request.inpaint) MakeInpainter(*request.inpaint);
  }

  std::vector<TiledSettings> InTiles(const Request& resolved) const override {
    std::optional<Request> tiled = InOwnTiles(model_, resolved);
    if (!tiled) return {};
    const int64_t side = *tiled->tile_size;
    return {{std::move(*tiled),
             fmt::format("made in tiles of {} pixels, the model's own size (--tile-size {})", side,
                         side)}};
  }

  std::unique_ptr<PictureJob> Prepare(Request& resolved) const override {
    Require(model_.traits().frames == 1, ErrorKind::kUsage,
            "model '{}' makes clips of {} frames, not pictures: use gesso video", *resolved.model,
            model_.traits().frames);
    return std::make_unique<DiffusionJob>(model_, resolved);
  }

  Json Describe(const Request& resolved) const override {
    const NetworkTraits& traits = model_.traits();
    const PassCost cost = CountPass(model_, resolved, 1);
    Json description = {{"kind", traits.kind},
                        {"conditions", DescribeConditions(model_)},
                        {"sizes_are_multiples_of", {traits.width_multiple, traits.height_multiple}},
                        {"smallest_size", {traits.smallest_width, traits.smallest_height}},
                        {"noise_levels", {traits.sigma_min, traits.sigma_max}},
                        {"forward_pass",
                         {{"width", *resolved.width},
                          {"height", *resolved.height},
                          {"flops", cost.flops},
                          {"bytes", cost.bytes},
                          {"activation_bytes", cost.arena_bytes}}}};
    description.update(traits.layers);
    if (traits.frames > 1) description["forward_pass"]["frames"] = traits.frames;
    return description;
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
