#include "pipelines/var_pictures.h"

#include <array>

#include "cache/registry.h"
#include "kernels/core/select.h"
#include "models/var/session.h"
#include "pipelines/codebook_scale_model.h"
#include "pipelines/conditions.h"
#include "pipelines/var_model.h"
#include "samplers/next_scale/sampler.h"

namespace gesso {

namespace {

// What the pictures of a request shall show: row 0 nothing in particular, row 1 the condition.
struct VarCondition {
  Tensor labels;
  Tensor text;
  Tensor mask;

  // Rows for `pictures` pictures, with guidance followed by as many without condition.
  VarCondition Bind(int64_t pictures, bool guided) const {
    std::vector<int64_t> rows(static_cast<size_t>(pictures), 1);
    if (guided) rows.resize(2 * rows.size(), 0);
    return {Select(labels, 0, rows), Select(text, 0, rows), Select(mask, 0, rows)};
  }
  var::Conditioning view() const { return {.labels = labels, .text = text, .mask = mask}; }
};

VarCondition Encode(const VarModel& model, const Request& request) {
  VarCondition condition;
  if (model.text == nullptr) {
    condition.labels = ClassLabels(request, model.transformer->config.num_classes);
    return condition;
  }
  text::EncodedPrompts encoded = EncodePrompts(*model.text, request);
  condition.text = std::move(encoded.context);
  condition.mask = std::move(encoded.context_mask);
  return condition;
}

// What all batches share.
struct Job {
  const VarModel& model;
  const Request& request;
  Device device;
  VarCondition condition;
  cache::Policy policy;  // or none
  NextScaleOptions options;

  bool guided() const { return *request.cfg_scale != 0; }
};

Job PrepareJob(const VarModel& model, const Request& request, Device device) {
  const int64_t scales = model.transformer->scales();
  Job job{model, request, device, Encode(model, request), nullptr, {}};
  if (!request.cache.value_or("").empty()) job.policy = cache::MakePolicy(*request.cache);
  job.options.guidance = RampedGuidance(*request.cfg_scale, scales);
  job.options.top_k = *request.top_k;
  job.options.top_p = *request.top_p;
  return job;
}

class VarBatch : public PictureBatch {
 public:
  VarBatch(const Job& job, int64_t count)
      : job_(job),
        condition_(job.condition.Bind(count, job.guided())),
        scales_(var::Session(job.model.transformer, job.guided() ? 2 * count : count,
                             job.policy ? job.policy() : nullptr),
                CodeSum(Quantizer(job.model), job.device, count),
                [this](Context& ctx, var::Session& session) {
                  session.Begin(ctx, condition_.view());
                }) {}

  int64_t ArenaBytes() override {
    Arena arena(Device::kMeta, 0);
    Context ctx{.device = Device::kMeta, .arena = &arena};
    // Pictures may be looked at after every scale, while the scale's own values are still there.
    Sample(ctx, PhiloxTokenNoise({}), [&](const NextScaleStep&) {
      const Arena::Scope scope(arena);
      Decode(ctx);
    });
    return static_cast<int64_t>(arena.peak_bytes());
  }

  std::vector<Image> Run(Context& ctx, int64_t first, GenerateObserver& observer) override {
    const int64_t count = scales_.pictures();
    const PhiloxTokenNoise noise(SeedsOf(job_.request, first, count));
    const std::function<std::vector<Image>()> preview = [&] { return Show(ctx); };
    int64_t scales = 0;
    for (int64_t k = 0; k < scales_.scales(); ++k) scales += scales_.Runs(k) ? 1 : 0;
    int64_t done = 0;
    Sample(ctx, noise, [&](const NextScaleStep&) {
      const double progress = static_cast<double>(++done) / static_cast<double>(scales);
      observer.OnStep({first, count, progress, preview});
    });
    return Show(ctx);
  }

 private:
  static std::shared_ptr<const vqvae::Quantizer> Quantizer(const VarModel& model) {
    return {model.vae, &model.vae->quantizer()};
  }

  void Sample(Context& ctx, const TokenNoise& noise, const NextScaleObserver& observer) {
    const Arena::Scope scope(*ctx.arena);
    const Shape all = {scales_.pictures(), ChoicesBefore(scales_, scales_.scales())};
    SampleNextScale(ctx, {.model = scales_,
                          .options = job_.options,
                          .noise = noise,
                          .tokens = ctx.arena->Alloc(all, DType::kI32),
                          .observer = observer});
  }

  // [B, 3, H, W] of the codes so far, on the arena.
  View Decode(Context& ctx) const {
    const ConstView f_hat = scales_.codes().f_hat();
    const View picture = ctx.arena->Alloc(job_.model.vae->PictureShape(f_hat.shape), DType::kF32);
    job_.model.vae->Decode(ctx, f_hat, picture);
    return picture;
  }

  std::vector<Image> Show(Context& ctx) const {
    const Arena::Scope scope(*ctx.arena);
    const View picture = Decode(ctx);
    RequireFinite(picture, job_.request);
    return ToImages(picture);
  }

  const Job& job_;
  VarCondition condition_;
  CodebookScaleModel<var::Session> scales_;
};

class VarJob : public PictureJob {
 public:
  VarJob(const VarModel& model, const Request& request, Device device)
      : job_(PrepareJob(model, request, device)) {}

  int64_t MaxBatch() const override { return kMaxTogether; }

  int64_t StateBytes(int64_t count) const override {
    const var::Config& config = job_.model.transformer->config;
    if (config.mamba) return 0;  // keeps no keys and values
    const int64_t rows = (job_.guided() ? 2 : 1) * count;
    const auto element = static_cast<int64_t>(SizeOf(job_.model.transformer->activation));
    return 2 * config.depth * rows * config.tokens() * config.width * element;
  }

  void RequireRoom() const override {}  // pictures have one size, and the model fits

  std::unique_ptr<PictureBatch> MakeBatch(int64_t count) const override {
    return std::make_unique<VarBatch>(job_, count);
  }

 private:
  Job job_;
};

class VarPictures : public PictureModel {
 public:
  VarPictures(VarModel model, Device device) : model_(std::move(model)), device_(device) {}

  Request defaults() const override { return model_.defaults; }

  void Complete(Request& request) const override {
    static constexpr std::array<std::string_view, 7> kForeign = {
        "steps",      "sampling_method", "scheduler", "cfg_rescale", "guidance_interval",
        "init_image", "strength"};
    RefuseFields(request, kForeign, "the model draws tokens scale by scale, not by diffusion");
    const var::Config& config = model_.transformer->config;
    CheckCondition(request, model_.text != nullptr, config.num_classes);
    if (model_.text == nullptr && !request.class_label)
      request.cfg_scale = 0;  // nothing to lead to
    Require(*request.cfg_scale != 0 || request.negative_prompt.value_or("").empty(),
            ErrorKind::kUsage, "negative_prompt: has no effect without guidance (cfg_scale 0)");
    const Request own = model_.defaults;
    Require(request.width == own.width && request.height == own.height, ErrorKind::kUsage,
            "width, height: this model makes pictures of {} x {} only", *own.width, *own.height);
    request.prompt = request.prompt.value_or("");
    request.negative_prompt = request.negative_prompt.value_or("");
    if (request.cache.value_or("").empty()) return;
    cache::MakePolicy(*request.cache);
    Require(!config.mamba || !cache::DecidesOf(*request.cache).keys, ErrorKind::kUsage,
            "cache: model '{}' keeps no keys that '{}' could thin out", *request.model,
            *request.cache);
  }

  std::unique_ptr<PictureJob> Prepare(const Request& resolved) const override {
    return std::make_unique<VarJob>(model_, resolved, device_);
  }

  Json Describe(const Request& resolved) const override {
    const VarJob job(model_, resolved, device_);
    const var::Config& config = model_.transformer->config;
    const std::string classes = fmt::format("{} classes", config.num_classes);
    return {{"kind", config.mamba ? "M-VAR: next-scale prediction, attention and Mamba"
                                  : "VAR: next-scale prediction"},
            {"conditions", Json::array({model_.text != nullptr ? "text" : classes})},
            {"depth", config.depth},
            {"width", config.width},
            {"token_maps", config.patch_nums},
            {"picture",
             {{"width", *resolved.width},
              {"height", *resolved.height},
              {"tokens", config.tokens()},
              {"activation_bytes", job.MakeBatch(1)->ArenaBytes()}}}};
  }

 private:
  VarModel model_;
  Device device_;
};

}  // namespace

std::unique_ptr<PictureModel> LoadVarFolder(const std::filesystem::path& folder, Device device,
                                            DType dtype) {
  return std::make_unique<VarPictures>(LoadVarModel(folder, device, dtype), device);
}

std::unique_ptr<PictureModel> LoadVarCheckpoint(Weights weights, Device device, DType dtype) {
  return std::make_unique<VarPictures>(MakeVarModel(std::move(weights), device, dtype), device);
}

}  // namespace gesso
