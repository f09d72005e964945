#include "pipelines/video/frames.h"

#include <cstring>

namespace gesso {

namespace {

// Copies `count` frames of every channel from frame `first` of one clip to frame `at` of another.
void CopyFrames(ConstView from, int64_t first, View to, int64_t at, int64_t count) {
  CHECK(from.shape.rank() == 5 && to.shape.rank() == 5 && from.IsContiguous() && to.IsContiguous());
  CHECK(first + count <= from.shape[2] && at + count <= to.shape[2]);
  const int64_t area = from.shape[3] * from.shape[4];
  CHECK(from.shape[1] == to.shape[1] && area == to.shape[3] * to.shape[4]);
  for (int64_t c = 0; c < from.shape[1]; ++c) {
    std::memcpy(to.Data<float>() + (c * to.shape[2] + at) * area,
                from.Data<float>() + (c * from.shape[2] + first) * area,
                static_cast<size_t>(count * area) * sizeof(float));
  }
}

}  // namespace

Tensor TakeFrames(ConstView clip, int64_t first, int64_t count) {
  Shape shape = clip.shape;
  shape.Set(2, count);
  Tensor frames(shape, DType::kF32);
  CopyFrames(clip, first, frames.mutable_view(), 0, count);
  return frames;
}

void PutFrames(ConstView frames, int64_t at, View clip) {
  CopyFrames(frames, 0, clip, at, frames.shape[2]);
}

}  // namespace gesso
