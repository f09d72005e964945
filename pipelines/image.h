// A picture in memory: 8-bit, interleaved, rows from top to bottom.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/tensor.h"

namespace gesso {

struct Image {
  int width = 0;
  int height = 0;
  int channels = 3;             // 1 grey, 3 RGB
  std::vector<uint8_t> pixels;  // [height][width][channels]
};

// batch [B, C, H, W] f32 in [-1, 1] (clamped; rounded to nearest) to B pictures.
std::vector<Image> ToImages(ConstView batch);

// Picture to [1, C, H, W] f32 in [-1, 1].
Tensor ToTensor(const Image& image);

}  // namespace gesso
