// Pictures by bitwise next-scale prediction: Infinity's maps of bits, drawn from the smallest to
// the largest, in the published sizes.
#pragma once

#include "pipelines/picture_model.h"

namespace gesso {

// Both throw as LoadInfinityModel.
std::unique_ptr<PictureModel> LoadInfinityFolder(const std::filesystem::path& folder, Device device,
                                                 DType dtype);
std::unique_ptr<PictureModel> LoadInfinityCheckpoint(Weights weights, Device device, DType dtype);

}  // namespace gesso
