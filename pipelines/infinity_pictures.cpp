#include "pipelines/infinity_pictures.h"

#include <algorithm>
#include <array>

#include "kernels/core/dry_run.h"
#include "models/bsq_vae/quantizer.h"
#include "models/infinity/codes.h"
#include "models/infinity/schedule.h"
#include "pipelines/conditions.h"
#include "pipelines/infinity_model.h"
#include "pipelines/infinity_scale_model.h"
#include "pipelines/mask/kept_tokens.h"
#include "pipelines/next_scale_batch.h"

namespace gesso {

namespace {

infinity::PictureSchedule ScheduleOf(const InfinityModel& model, const Request& request) {
  return infinity::FindPictureSchedule(*request.width, *request.height, model.token_pixels(),
                                       SizeAdvice(request));
}

class InfinityBatch : public NextScaleBatch {
 public:
  InfinityBatch(const InfinityModel& model, const NextScaleJob& job,
                infinity::SessionOptions options, infinity::TextBatch texts, bool guided)
      : NextScaleBatch(job, model.vae->config().decoder.stride()),
        vae_(*model.vae),
        scales_(infinity::Session(model.transformer, std::move(options), job.MakeHooks()),
                std::move(texts), guided) {}

  bool MayServeAgain() const override { return scales_.session().stays(); }
  // Makes the pictures of this job from now on, if what it has in memory serves for them.
  bool Serve(const NextScaleJob& job, const infinity::SessionOptions& options,
             infinity::TextBatch& texts, bool guided) {
    const infinity::Session& session = scales_.session();
    const int64_t pictures = guided ? options.rows / 2 : options.rows;
    if (!session.stays() || job.policy || session.options() != options ||
        scales_.pictures() != pictures) {
      return false;
    }
    Rebind(job);
    scales_.SetTexts(std::move(texts));
    return true;
  }

 protected:
  ScaleModel& model() override { return scales_; }
  size_t KeyBytesNow() const override { return scales_.session().CacheBytes(); }

  View Decode(Context& ctx) override { return DecodeBy(vae_, ctx, scales_.summed()); }

 private:
  const bsq_vae::Model& vae_;
  InfinityScaleModel scales_;
};

// The bits of a whole picture on all maps, [1, L * bits].
Tensor Tokenize(const InfinityModel& model, const Image& image, std::span<const TokenMap> maps,
                Device device) {
  const infinity::Config& config = model.transformer->config;
  const Tensor picture = ToTensor(image);
  int64_t choices = 0;
  for (const TokenMap& map : maps) choices += map.tokens() * config.bits();
  Tensor tokens({1, choices}, DType::kI32);
  RunInOwnArena(device, [&](Context& ctx) {
    std::vector<View> bits;
    for (const TokenMap& map : maps) {
      const TokenMap codes = infinity::CodeMap(config, map);
      const Shape shape = {1, codes.height, codes.width, config.codebook_dim};
      bits.push_back(ctx.arena->Alloc(shape, DType::kU8));
    }
    const View h = ctx.arena->Alloc(bits.back().shape, DType::kF32);
    const View summed = ctx.arena->Alloc(h.shape, DType::kF32);
    model.vae->Encode(ctx, picture, h);
    bsq_vae::EncodeBits(ctx, h, bits, summed);
    int64_t begin = 0;
    for (size_t scale = 0; scale < maps.size(); ++scale) {
      const int64_t end = begin + maps[scale].tokens() * config.bits();
      infinity::BitsToTokens(ctx, config, maps[scale], bits[scale],
                             tokens.mutable_view().Slice(1, begin, end));
      begin = end;
    }
  });
  return tokens;
}

class InfinityJob : public PictureJob {
 public:
  InfinityJob(const InfinityModel& model, const Request& request, Device device)
      : model_(model),
        schedule_(ScheduleOf(model, request)),
        job_(PrepareNextScaleJob(request, std::ssize(schedule_.maps), device)),
        prompts_(EncodePrompts(*model.text, request)) {
    const PerScale guidance =
        request.cfg_per_scale ? *request.cfg_per_scale : PerScale{{*request.cfg_scale}};
    job_.options.guidance = ForScales(guidance, std::ssize(schedule_.maps), "cfg_per_scale");
    if (!IsEdit(request)) return;
    Edit edit{.picture = ReadEditedPicture(request, 3), .tokens = {}, .keep = {}};
    edit.tokens = Tokenize(model, edit.picture.input, schedule_.maps, device);
    edit.keep = KeptTokens(edit.picture.amount, schedule_.maps, model.transformer->config.bits());
    job_.edit = std::move(edit);
  }

  int64_t MaxBatch() const override { return kMaxTogether; }

  int64_t StateBytes(int64_t count) const override {
    const infinity::Config& config = model_.transformer->config;
    return KeyBytes(job_.policy, schedule_.maps, config.depth, Rows(count), config.embed_dim,
                    model_.transformer->activation);
  }

  void RequireRoom() const override {}  // the sizes are few, and StateBytes tells

  std::unique_ptr<PictureBatch> MakeBatch(int64_t count,
                                          std::unique_ptr<PictureBatch> last) const override {
    infinity::TextBatch texts = Texts(count);
    auto* const batch = static_cast<InfinityBatch*>(last.get());
    if (batch != nullptr && batch->Serve(job_, Options(count), texts, job_.guided())) return last;
    last.reset();  // before there is another
    return Batch(count, std::move(texts));
  }
  std::unique_ptr<InfinityBatch> Batch(int64_t count) const { return Batch(count, Texts(count)); }

 private:
  std::unique_ptr<InfinityBatch> Batch(int64_t count, infinity::TextBatch texts) const {
    return std::make_unique<InfinityBatch>(model_, job_, Options(count), std::move(texts),
                                           job_.guided());
  }

  infinity::SessionOptions Options(int64_t count) const {
    return {.maps = {schedule_.maps.begin(), schedule_.maps.end()},
            .reference = schedule_.reference,
            .rows = Rows(count)};
  }

  infinity::TextBatch Texts(int64_t count) const {
    // Row 0 is the negative prompt; an empty one is what the model has learned for no text.
    const bool has_negative = !job_.request.negative_prompt.value_or("").empty();
    const auto pictures = static_cast<size_t>(count);
    const std::vector<ConstView> prompts(pictures, prompts_.Tokens(1));
    const std::vector<ConstView> negatives(has_negative ? pictures : 0, prompts_.Tokens(0));
    return infinity::MakeTextBatch(*model_.transformer, prompts, negatives, job_.guided());
  }

  int64_t Rows(int64_t count) const { return job_.guided() ? 2 * count : count; }

  const InfinityModel& model_;
  infinity::PictureSchedule schedule_;
  NextScaleJob job_;
  text::EncodedPrompts prompts_;
};

class InfinityPictures : public PictureModel {
 public:
  InfinityPictures(InfinityModel model, Device device)
      : model_(std::move(model)), device_(device) {}

  Request defaults() const override { return model_.defaults; }

  void Complete(Request& request) const override {
    RefuseDiffusionFields(request);
    Require(!request.more_smooth.value_or(false), ErrorKind::kUsage,
            "more_smooth: Infinity has no smoother pictures: its bits do not mix");
    CheckCondition(request, true, 0);
    const infinity::PictureSchedule schedule = ScheduleOf(model_, request);
    CheckNegativePrompt(request, 1);
    request.negative_prompt = request.negative_prompt.value_or("");
    CompleteNextScaleSettings(request, schedule.maps, model_.transformer->config.depth);
    TilingOf(request, model_.vae->config().decoder.stride());
  }

  std::vector<TiledSettings> InTiles(const Request& resolved) const override {
    return InDecoderTiles(resolved, model_.vae->config().decoder.stride());
  }

  std::unique_ptr<PictureJob> Prepare(Request& resolved) const override {
    return std::make_unique<InfinityJob>(model_, resolved, device_);
  }

  Json Describe(const Request& resolved) const override {
    const InfinityJob job(model_, resolved, device_);
    const infinity::Config& config = model_.transformer->config;
    Json maps = Json::array();
    for (const TokenMap& map : ScheduleOf(model_, resolved).maps) {
      maps.push_back({map.height, map.width});
    }
    return {{"kind", "Infinity: bitwise next-scale prediction"},
            {"conditions", {"text"}},
            {"depth", config.depth},
            {"width", config.embed_dim},
            {"bits", config.bits()},
            {"token_maps", std::move(maps)},
            {"picture", DescribePicture(resolved, *job.Batch(1))}};
  }

 private:
  InfinityModel model_;
  Device device_;
};

}  // namespace

std::unique_ptr<PictureModel> LoadInfinityFolder(const std::filesystem::path& folder, Device device,
                                                 DType dtype) {
  auto model = std::make_unique<InfinityPictures>(LoadInfinityModel(folder, device, dtype), device);
  CheckPresets(*model, folder);
  return model;
}

std::unique_ptr<PictureModel> LoadInfinityCheckpoint(Weights weights, Device device, DType dtype) {
  return std::make_unique<InfinityPictures>(MakeInfinityModel(std::move(weights), device, dtype),
                                            device);
}

}  // namespace gesso
