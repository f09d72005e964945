// Pictures by diffusion: noise from the seed, and a sampler's loop over the guided network.
#pragma once

#include "pipelines/picture_model.h"

namespace gesso {

// Both throw as LoadDiffusionModel.
std::unique_ptr<PictureModel> LoadDiffusionFolder(const std::filesystem::path& folder,
                                                  Device device, DType dtype);
std::unique_ptr<PictureModel> LoadDiffusionCheckpoint(Weights weights, Device device, DType dtype);

}  // namespace gesso
