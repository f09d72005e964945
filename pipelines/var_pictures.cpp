#include "pipelines/var_pictures.h"

#include <algorithm>

#include "cache/registry.h"
#include "kernels/core/dry_run.h"
#include "kernels/core/select.h"
#include "models/var/session.h"
#include "pipelines/codebook_scale_model.h"
#include "pipelines/conditions.h"
#include "pipelines/mask/kept_tokens.h"
#include "pipelines/next_scale_batch.h"
#include "pipelines/var_model.h"

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

class VarBatch : public NextScaleBatch {
 public:
  VarBatch(const VarModel& model, const NextScaleJob& job, const VarCondition& condition,
           int64_t count, bool guided)
      : NextScaleBatch(job, model.vae->config().decoder.stride()),
        vae_(*model.vae),
        condition_(condition.Bind(count, guided)),
        scales_(var::Session(model.transformer, guided ? 2 * count : count, job.MakeHooks()),
                CodeSum({model.vae, &vae_.quantizer()}, job.device, count, job.options.more_smooth),
                [this](Context& ctx, var::Session& session) {
                  session.Begin(ctx, condition_.view());
                }) {}

  bool MayServeAgain() const override { return scales_.session().stays(); }
  // Makes the pictures of this job from now on, if what it has in memory serves for them.
  bool Serve(const NextScaleJob& job, const VarCondition& condition, int64_t count, bool guided) {
    const var::Session& session = scales_.session();
    if (!session.stays() || job.policy || session.rows() != (guided ? 2 * count : count) ||
        scales_.pictures() != count || scales_.codes().mixes() != job.options.more_smooth) {
      return false;
    }
    Rebind(job);
    condition_ = condition.Bind(count, guided);
    return true;
  }

 protected:
  ScaleModel& model() override { return scales_; }
  size_t KeyBytesNow() const override { return scales_.session().CacheBytes(); }

  View Decode(Context& ctx) override { return DecodeBy(vae_, ctx, scales_.codes().f_hat()); }

 private:
  const vqvae::Model& vae_;
  VarCondition condition_;
  CodebookScaleModel<var::Session> scales_;
};

// The tokens of a whole picture, [1, L].
Tensor Tokenize(const vqvae::Model& vae, const Image& image, Device device) {
  const Tensor picture = ToTensor(image);
  const vqvae::MapSize size = vae.LatentSize(image.height, image.width);
  const vqvae::QuantizerConfig& codes = vae.config().quantizer;
  const Shape shape = {1, size.height, size.width, codes.z_channels};
  Tensor tokens({1, codes.tokens()}, DType::kI32);
  RunInOwnArena(device, [&](Context& ctx) {
    const View f = ctx.arena->Alloc(shape, DType::kF32);
    vae.Encode(ctx, picture, f);
    const View f_hat = ctx.arena->Alloc(shape, DType::kF32);
    vae.quantizer().Encode(ctx, f, codes.Maps(), tokens.mutable_view(), f_hat);
  });
  return tokens;
}

class VarJob : public PictureJob {
 public:
  VarJob(const VarModel& model, const Request& request, Device device)
      : model_(model),
        job_(PrepareNextScaleJob(request, model.transformer->scales(), device)),
        condition_(Encode(model, request)) {
    job_.options.guidance = Guidance(request);
    if (!IsEdit(request)) return;
    Edit edit{.picture = ReadEditedPicture(request, 3), .tokens = {}, .keep = {}};
    edit.tokens = Tokenize(*model.vae, edit.picture.input, device);
    edit.keep = KeptTokens(edit.picture.amount, model.transformer->maps(), 1);
    job_.edit = std::move(edit);
  }

  int64_t MaxBatch() const override { return kMaxTogether; }

  int64_t StateBytes(int64_t count) const override {
    const var::Config& config = model_.transformer->config;
    if (config.mamba) return 0;  // keeps no keys and values
    return KeyBytes(job_.policy, model_.transformer->maps(), config.depth,
                    job_.guided() ? 2 * count : count, config.width,
                    model_.transformer->activation);
  }

  void RequireRoom() const override {}  // pictures have one size, and the model fits

  std::unique_ptr<PictureBatch> MakeBatch(int64_t count,
                                          std::unique_ptr<PictureBatch> last) const override {
    auto* const batch = static_cast<VarBatch*>(last.get());
    if (batch != nullptr && batch->Serve(job_, condition_, count, job_.guided())) return last;
    last.reset();  // before there is another
    return Batch(count);
  }
  std::unique_ptr<VarBatch> Batch(int64_t count) const {
    return std::make_unique<VarBatch>(model_, job_, condition_, count, job_.guided());
  }

 private:
  // None is 1 here, but 0 in VAR's settings.
  std::vector<double> Guidance(const Request& request) const {
    const int64_t scales = model_.transformer->scales();
    if (!request.cfg_per_scale) return RampedGuidance(*request.cfg_scale, scales);
    std::vector<double> guidance = ForScales(*request.cfg_per_scale, scales, "cfg_per_scale");
    for (double& value : guidance) value += 1;
    return guidance;
  }

  const VarModel& model_;
  NextScaleJob job_;
  VarCondition condition_;
};

class VarPictures : public PictureModel {
 public:
  VarPictures(VarModel model, Device device) : model_(std::move(model)), device_(device) {}

  Request defaults() const override { return model_.defaults; }

  void Complete(Request& request) const override {
    const var::Config& config = model_.transformer->config;
    RefuseDiffusionFields(request);
    CheckCondition(request, model_.text != nullptr, config.num_classes);
    const Request& own = model_.defaults;
    if (model_.text == nullptr && !request.class_label) {  // nothing to lead to
      const bool asked = request.cfg_scale != own.cfg_scale && request.cfg_scale != 0.0;
      Require(!request.cfg_per_scale && !asked, ErrorKind::kUsage,
              "{}: has no effect without a class (class_label)",
              request.cfg_per_scale ? "cfg_per_scale" : "cfg_scale");
      request.cfg_scale = 0;
    }
    CheckNegativePrompt(request, 0);
    Require(request.width == own.width && request.height == own.height, ErrorKind::kUsage,
            "width, height: this model makes pictures of {} x {} only, not of {} x {}{}",
            *own.width, *own.height, *request.width, *request.height, SizeAdvice(request));
    request.prompt = request.prompt.value_or("");
    request.negative_prompt = request.negative_prompt.value_or("");
    CompleteNextScaleSettings(request, model_.transformer->maps(), config.depth);
    TilingOf(request, model_.vae->config().decoder.stride());
    if (request.cache.value_or("").empty()) return;
    Require(!config.mamba || !cache::DecidesOf(*request.cache).keys, ErrorKind::kUsage,
            "cache: model '{}' keeps no keys that '{}' could thin out", *request.model,
            *request.cache);
  }

  std::vector<TiledSettings> InTiles(const Request& resolved) const override {
    return InDecoderTiles(resolved, model_.vae->config().decoder.stride());
  }

  std::unique_ptr<PictureJob> Prepare(Request& resolved) const override {
    return std::make_unique<VarJob>(model_, resolved, device_);
  }

  Json Describe(const Request& resolved) const override {
    const VarJob job(model_, resolved, device_);
    const var::Config& config = model_.transformer->config;
    const std::string classes = fmt::format("{} classes", config.num_classes);
    Json picture = DescribePicture(resolved, *job.Batch(1));
    picture["tokens"] = config.tokens();
    return {{"kind", config.mamba ? "M-VAR: next-scale prediction, attention and Mamba"
                                  : "VAR: next-scale prediction"},
            {"conditions", Json::array({model_.text != nullptr ? "text" : classes})},
            {"depth", config.depth},
            {"width", config.width},
            {"token_maps", config.patch_nums},
            {"picture", std::move(picture)}};
  }

 private:
  VarModel model_;
  Device device_;
};

}  // namespace

std::unique_ptr<PictureModel> LoadVarFolder(const std::filesystem::path& folder, Device device,
                                            DType dtype) {
  auto model = std::make_unique<VarPictures>(LoadVarModel(folder, device, dtype), device);
  CheckPresets(*model, folder);
  return model;
}

std::unique_ptr<PictureModel> LoadVarCheckpoint(Weights weights, Device device, DType dtype) {
  return std::make_unique<VarPictures>(MakeVarModel(std::move(weights), device, dtype), device);
}

}  // namespace gesso
