#include "pipelines/image.h"

#include <algorithm>
#include <cmath>

namespace gesso {

std::vector<Image> ToImages(ConstView batch) {
  CHECK(batch.shape.rank() == 4 && batch.IsContiguous());
  const int64_t channels = batch.shape[1];
  const int64_t area = batch.shape[2] * batch.shape[3];
  const float* values = batch.Data<float>();
  std::vector<Image> images;
  for (int64_t b = 0; b < batch.shape[0]; ++b, values += channels * area) {
    Image image{static_cast<int>(batch.shape[3]), static_cast<int>(batch.shape[2]),
                static_cast<int>(channels),
                std::vector<uint8_t>(static_cast<size_t>(channels * area))};
    for (int64_t i = 0; i < area; ++i) {
      for (int64_t c = 0; c < channels; ++c) {
        const float level = std::clamp((values[c * area + i] + 1.0f) * 127.5f, 0.0f, 255.0f);
        image.pixels[static_cast<size_t>(i * channels + c)] =
            static_cast<uint8_t>(std::lround(level));
      }
    }
    images.push_back(std::move(image));
  }
  return images;
}

Tensor ToTensor(const Image& image) {
  Tensor tensor({1, image.channels, image.height, image.width}, DType::kF32);
  float* values = tensor.MutableData<float>();
  const int64_t area = int64_t{image.width} * image.height;
  for (int64_t i = 0; i < area; ++i) {
    for (int64_t c = 0; c < image.channels; ++c) {
      const uint8_t level = image.pixels[static_cast<size_t>(i * image.channels + c)];
      values[c * area + i] = static_cast<float>(level) / 127.5f - 1.0f;
    }
  }
  return tensor;
}

}  // namespace gesso
