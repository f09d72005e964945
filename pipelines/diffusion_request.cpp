#include "pipelines/diffusion_request.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>

#include "pipelines/conditions.h"
#include "pipelines/mask/edited_picture.h"
#include "pipelines/picture_model.h"
#include "samplers/registry.h"

namespace gesso {

namespace {

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

// The multiples of `unit` next to `value`, from `smallest` on, as "64", or "64 or 72".
std::string Nearest(int64_t value, int64_t unit, int64_t smallest) {
  const int64_t below = value / unit * unit;
  return below < smallest ? std::to_string(smallest) : fmt::format("{} or {}", below, below + unit);
}

void CheckSize(const NetworkTraits& traits, const Request& request) {
  const auto check = [&](std::string_view name, int64_t value, int64_t unit, int64_t smallest) {
    Require(value % unit == 0 && value >= smallest, ErrorKind::kUsage,
            "{} {}: this model makes multiples of {} pixels, from {} on; the nearest is {}{}", name,
            value, unit, smallest, Nearest(value, unit, smallest), SizeAdvice(request));
  };
  // A tile's side, where a tile is smaller than the picture.
  const TileGrid grid = TilesOf(request);
  check(grid.width < *request.width ? "tile_size" : "width", grid.width, traits.width_multiple,
        traits.smallest_width);
  check(grid.height < *request.height ? "tile_size" : "height", grid.height, traits.height_multiple,
        traits.smallest_height);
}

void CompleteTiles(Request& request) {
  const int64_t tile = request.tile_size.value_or(0);
  Require(tile > 0 || !request.tile_overlap, ErrorKind::kUsage,
          "tile_overlap: has no effect without tiles (tile_size)");
  if (tile == 0) return;
  const int64_t smallest = std::min({tile, *request.width, *request.height});
  if (!request.tile_overlap) request.tile_overlap = std::min(tile / 4, smallest / 2);
  Require(*request.tile_overlap < smallest, ErrorKind::kUsage,
          "tile_overlap: tiles of {} x {} cannot overlap by {}", std::min(tile, *request.width),
          std::min(tile, *request.height), *request.tile_overlap);
}

void CheckInputs(const DiffusionModel& model, const Request& request) {
  const int64_t channels = model.traits().channels;
  Require(channels == 1 || channels == 3 || channels == 4, ErrorKind::kUnsupported,
          "model '{}' makes pictures of {} channels; PNG files hold 1, 3 or 4", *request.model,
          channels);
  CheckCondition(request, model.text != nullptr, model.traits().num_classes);
  Require(*request.cfg_scale == 1 || model.is_guidable(), ErrorKind::kUsage,
          "cfg_scale: model '{}' is unconditional, there is nothing to guide", *request.model);
  if (*request.cfg_scale != 1) return;
  const auto refuse = [](bool is_set, std::string_view name) {
    Require(!is_set, ErrorKind::kUsage, "{}: has no effect without guidance (cfg_scale 1)", name);
  };
  refuse(!request.negative_prompt.value_or("").empty(), "negative_prompt");
  refuse(request.cfg_rescale.value_or(0) != 0, "cfg_rescale");
  refuse(request.guidance_interval != model.defaults.guidance_interval, "guidance_interval");
}

}  // namespace

Request DiffusionDefaults(const DiffusionModel& model) {
  return Merge(BuiltInDefaults(), model.defaults);
}

std::optional<Request> InOwnTiles(const DiffusionModel& model, const Request& request) {
  if (request.tile_size) return std::nullopt;
  const int64_t unit = std::lcm(model.traits().width_multiple, model.traits().height_multiple);
  const int64_t side = std::min(*model.defaults.width, *model.defaults.height) / unit * unit;
  if (side == 0 || side >= std::max(*request.width, *request.height)) return std::nullopt;
  Request tiled = request;
  tiled.tile_size = side;
  CompleteTiles(tiled);
  return tiled;
}

TileGrid TilesOf(const Request& request) {
  const int64_t tile = request.tile_size.value_or(0);
  if (tile == 0) return {.height = *request.height, .width = *request.width, .overlap = 0};
  return {.height = std::min(tile, *request.height),
          .width = std::min(tile, *request.width),
          .overlap = *request.tile_overlap};
}

void CompleteDiffusion(const DiffusionModel& model, Request& request) {
  static constexpr std::array<std::string_view, 7> kForeign = {
      "cache", "top_k", "top_p", "temperature", "cfg_per_scale", "more_smooth", "vae_tile_size"};
  RefuseFields(request, kForeign, "the model makes pictures by diffusion, not out of tokens");
  CheckInputs(model, request);
  request.prompt = request.prompt.value_or("");
  request.negative_prompt = request.negative_prompt.value_or("");
  CompleteTiles(request);
  CheckSize(model.traits(), request);
  MakeSampler(*request.sampling_method);
  const Schedule schedule = MakeSchedule(*request.scheduler);
  schedule(*request.steps, model.traits().sigma_min, model.traits().sigma_max);
}

}  // namespace gesso
