// What every request to a diffusion model must satisfy, whether it is for pictures or for clips.
#pragma once

#include <optional>

#include "pipelines/diffusion_model.h"
#include "samplers/tiled_denoiser.h"

namespace gesso {

// Settings where the request has none: the model's, and what is built in below those.
Request DiffusionDefaults(const DiffusionModel& model);

// Throws kUsage for what the model cannot do, kUnsupported where nothing could hold its pictures,
// and fills in prompts. The defaults are in the request already.
void CompleteDiffusion(const DiffusionModel& model, Request& request);

// A completed request that says nothing of tiles, with those of the size that the model itself
// makes; none if that is no smaller than the picture.
std::optional<Request> InOwnTiles(const DiffusionModel& model, const Request& request);

// The tiles that a completed request has its pictures worked on in; one that is the whole picture
// where it wants none.
TileGrid TilesOf(const Request& request);

}  // namespace gesso
