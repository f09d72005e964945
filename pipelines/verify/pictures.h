// How cases record pictures and maps.
#pragma once

#include <string>

#include "pipelines/verify/case.h"

namespace gesso {

// map [B, H, W, C], recorded channels first.
void CompareMap(ParityCase& parity_case, const std::string& name, const Tensor& map);

// picture [B, C, H, W] with "out/image", or, where the case's field `crop` says so, the part rows
// crop[0]:crop[1], columns crop[2]:crop[3] with "out/image_crop".
void ComparePicture(ParityCase& parity_case, const Tensor& picture);

}  // namespace gesso
