// Pictures by next-scale prediction: VAR's token maps, drawn from the smallest to the largest.
#pragma once

#include "pipelines/picture_model.h"

namespace gesso {

std::unique_ptr<PictureModel> LoadVarFolder(const std::filesystem::path& folder, Device device,
                                            DType dtype);
std::unique_ptr<PictureModel> LoadVarCheckpoint(Weights weights, Device device, DType dtype);

}  // namespace gesso
