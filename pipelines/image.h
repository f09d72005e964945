// A picture in memory: 8-bit, interleaved, rows from top to bottom.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/core/tensor.h"

namespace gesso {

struct Image {
  int width = 0;
  int height = 0;
  int channels = 3;             // 1 grey, 3 RGB, 4 RGBA
  std::vector<uint8_t> pixels;  // [height][width][channels]
};

// Luma of Rec. 601 of an RGB colour, rounded as stb does when it turns pictures to grey.
inline uint8_t LumaOf(const std::array<uint8_t, 3>& rgb) {
  return static_cast<uint8_t>((rgb[0] * 77 + rgb[1] * 150 + rgb[2] * 29) >> 8);
}

// batch [B, C, H, W] f32 in [-1, 1] (clamped; rounded to nearest) to B pictures.
std::vector<Image> ToImages(ConstView batch);

// Picture to [1, C, H, W] f32 in [-1, 1].
Tensor ToTensor(const Image& image);

}  // namespace gesso
