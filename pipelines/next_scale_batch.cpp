#include "pipelines/next_scale_batch.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "cache/registry.h"
#include "kernels/core/host_copy.h"
#include "kernels/core/select.h"
#include "models/next_scale/branch.h"
#include "pipelines/conditions.h"

namespace gesso {

namespace {

// Pixels of a picture that is decoded in one piece, room for the unevenness of aspect ratios
// included, and the side of the tiles of larger ones.
constexpr int64_t kMaxWhole = (int64_t{1} << 20) * 11 / 10;
constexpr int64_t kTileSide = 512;

// Far below what makes a difference, far above what makes logits overflow.
constexpr double kLeastTemperature = 1e-3;

void CheckCache(const std::string& cache, std::span<const TokenMap> maps, int64_t layers) {
  WithContext("cache " + cache, [&] {
    const std::unique_ptr<Hooks> hooks = cache::MakePolicy(cache)();
    if (hooks != nullptr) hooks->Begin(maps, layers);
  });
}

}  // namespace

void RefuseDiffusionFields(const Request& request) {
  static constexpr std::array<std::string_view, 9> kForeign = {
      "steps",    "sampling_method", "scheduler", "cfg_rescale", "guidance_interval",
      "strength", "inpaint",         "tile_size", "tile_overlap"};
  RefuseFields(request, kForeign, "the model draws tokens scale by scale, not by diffusion");
}

void CompleteNextScaleSettings(Request& request, std::span<const TokenMap> maps, int64_t layers) {
  const int64_t scales = std::ssize(maps);
  OptionsOf(request, scales);
  if (request.cfg_per_scale) ForScales(*request.cfg_per_scale, scales, "cfg_per_scale");
  if (!request.cache.value_or("").empty()) CheckCache(*request.cache, maps, layers);
  Require(!request.init_image || IsEdit(request), ErrorKind::kUsage,
          "init_image: a next-scale model paints a part of a picture anew; it needs the mask of "
          "the part (mask) or what to paint beyond the border (outpaint) too");
  CompleteEdit(request);
}

void CheckNegativePrompt(const Request& request, double none) {
  if (request.negative_prompt.value_or("").empty()) return;
  const std::optional<PerScale>& each = request.cfg_per_scale;
  const bool guides = each ? std::ranges::any_of(each->values, [&](double v) { return v != none; })
                           : *request.cfg_scale != none;
  Require(guides, ErrorKind::kUsage, "negative_prompt: has no effect without guidance ({} {})",
          each ? "cfg_per_scale" : "cfg_scale", none);
}

void CheckPresets(const PictureModel& model, const std::filesystem::path& folder) {
  Request request = model.defaults();
  request.model = folder.string();
  request.prompt = "";
  try {
    model.Complete(request);
  } catch (const Error& error) {  // a fault of the file, not of the user
    const std::filesystem::path index = folder / "model_index.json";
    throw Error(ErrorKind::kConfig, fmt::format("{}, defaults: {}", index.string(), error.what()));
  }
}

NextScaleOptions OptionsOf(const Request& request, int64_t scales) {
  NextScaleOptions options;
  if (request.temperature) {
    options.temperature = ForScales(*request.temperature, scales, "temperature");
    for (const double value : options.temperature) {
      Require(value >= kLeastTemperature, ErrorKind::kUsage,
              "temperature: {} is below {}; top_k 1 is what draws the likeliest token each time",
              value, kLeastTemperature);
    }
  }
  options.top_k = request.top_k.value_or(0);
  options.top_p = request.top_p.value_or(0);
  options.more_smooth = request.more_smooth.value_or(false);
  return options;
}

std::vector<double> ForScales(const PerScale& setting, int64_t scales, std::string_view field) {
  if (setting.values.size() == 1) {
    return std::vector<double>(static_cast<size_t>(scales), setting.values.front());
  }
  Require(std::ssize(setting.values) == scales, ErrorKind::kUsage,
          "{}: has {} values, but the picture has {} scales; give one for each, or one for all",
          field, setting.values.size(), scales);
  return setting.values;
}

autoencoder::Tiling TilingOf(const Request& request, int64_t stride) {
  const bool is_large = *request.width * *request.height > kMaxWhole;
  const int64_t side = request.vae_tile_size.value_or(is_large ? kTileSide : 0);
  if (side == 0) return {};
  Require(side % stride == 0 && side >= 2 * stride, ErrorKind::kUsage,
          "vae_tile_size: {} is no multiple of {} pixels, from {} on (0 = no tiles)", side, stride,
          2 * stride);
  const int64_t tile = side / stride;
  return {.tile = tile, .overlap = std::max<int64_t>(tile / 4, 1)};
}

std::vector<TiledSettings> InDecoderTiles(const Request& request, int64_t stride) {
  // Of fewer latents a side than this a tile would know too little of what is around it.
  constexpr int64_t kFewestLatents = 8;
  if (request.vae_tile_size) return {};
  const int64_t now = TilingOf(request, stride).tile * stride;
  const int64_t below = now > 0 ? now : std::max(*request.width, *request.height);
  std::vector<TiledSettings> smaller;
  for (int64_t side = kTileSide; side >= kFewestLatents * stride; side /= 2) {
    if (side >= below || side % stride != 0) continue;
    TiledSettings settings{
        request, fmt::format("decoded in tiles of {} pixels (--vae-tile-size {})", side, side)};
    settings.request.vae_tile_size = side;
    smaller.push_back(std::move(settings));
  }
  return smaller;
}

int64_t KeyBytes(const cache::Policy& policy, std::span<const TokenMap> maps, int64_t layers,
                 int64_t rows, int64_t width, DType type) {
  const std::unique_ptr<Hooks> hooks = policy ? policy() : nullptr;
  if (hooks != nullptr) hooks->Begin(maps, layers);
  const int64_t all =
      std::accumulate(maps.begin(), maps.end() - 1, int64_t{0},
                      [](int64_t sum, const TokenMap& map) { return sum + map.tokens(); });
  int64_t seen = 0;
  int64_t peak = 0;
  for (int64_t scale = 0; scale < std::ssize(maps); ++scale) {
    seen += maps[static_cast<size_t>(scale)].tokens();
    int64_t held = 0;
    for (int64_t layer = 0; layer < layers; ++layer) {
      if (next_scale::IsLast(hooks.get(), layer, scale, std::ssize(maps))) continue;
      held += std::min(seen, hooks == nullptr ? all : hooks->CacheCapacity(layer, all));
    }
    peak = std::max(peak, held);
  }
  return 2 * peak * rows * width * static_cast<int64_t>(SizeOf(type));
}

NextScaleJob PrepareNextScaleJob(const Request& request, int64_t scales, Device device) {
  NextScaleJob job{request, device, nullptr, OptionsOf(request, scales)};
  if (!request.cache.value_or("").empty()) job.policy = cache::MakePolicy(*request.cache);
  return job;
}

bool NextScaleJob::guided() const {
  return std::ranges::any_of(options.guidance, [](double value) { return value != 1; });
}

void NextScaleBatch::Rebind(const NextScaleJob& job) {
  job_ = &job;
  tiling_ = TilingOf(job.request, stride_);
  peak_key_bytes_ = 0;
}

int64_t NextScaleBatch::ArenaBytes() {
  Arena arena(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  // Pictures may be looked at after every scale, while the scale's own values are still there.
  Sample(ctx, PhiloxTokenNoise({}), [&](const NextScaleStep&) {
    const Arena::Scope scope(arena);
    Decode(ctx);
  });
  return static_cast<int64_t>(arena.peak_bytes());
}

std::vector<Image> NextScaleBatch::Run(Context& ctx, int64_t first, GenerateObserver& observer) {
  const int64_t count = model().pictures();
  const PhiloxTokenNoise noise(SeedsOf(job_->request, first, count));
  const std::function<std::vector<Image>()> preview = [&] { return Show(ctx); };
  int64_t scales = 0;
  for (int64_t k = 0; k < model().scales(); ++k) scales += model().Runs(k) ? 1 : 0;
  int64_t done = 0;
  Sample(ctx, noise, [&](const NextScaleStep&) {
    const double progress = static_cast<double>(++done) / static_cast<double>(scales);
    observer.OnStep({first, count, progress, preview});
  });
  return Show(ctx);
}

void NextScaleBatch::Sample(Context& ctx, const TokenNoise& noise,
                            const NextScaleObserver& observer) {
  const Arena::Scope scope(*ctx.arena);
  ScaleModel& model = this->model();
  const Shape all = {model.pictures(), ChoicesBefore(model, model.scales())};
  Tensor tokens;
  Tensor keep;
  GivenTokens given;
  if (job_->edit) {
    const std::vector<int64_t> same(static_cast<size_t>(model.pictures()), 0);
    tokens = Select(job_->edit->tokens, 0, same);
    keep = Select(job_->edit->keep, 0, same);
    given = {.tokens = tokens, .keep = keep};
  }
  SampleNextScale(ctx, {.model = model,
                        .options = job_->options,
                        .noise = noise,
                        .tokens = ctx.arena->Alloc(all, DType::kI32),
                        .given = given,
                        .source = *job_->request.model,
                        .observer = [&](const NextScaleStep& step) {
                          peak_key_bytes_ =
                              std::max(peak_key_bytes_, static_cast<int64_t>(KeyBytesNow()));
                          observer(step);
                        }});
}

std::vector<Image> NextScaleBatch::Show(Context& ctx) {
  const Arena::Scope scope(*ctx.arena);
  const View picture = Decode(ctx);
  const HostCopy pixels(picture);
  RequireFinite(pixels.view(), job_->request);
  std::vector<Image> images = ToImages(pixels.view());
  if (job_->edit) {
    for (Image& image : images) image = PasteBack(job_->edit->picture, image);
  }
  return images;
}

Json DescribePicture(const Request& resolved, NextScaleBatch& batch) {
  const int64_t activation_bytes = batch.ArenaBytes();
  return {{"width", *resolved.width},
          {"height", *resolved.height},
          {"activation_bytes", activation_bytes},
          {"cache_bytes", batch.peak_key_bytes()}};
}

}  // namespace gesso
