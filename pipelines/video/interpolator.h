// Frames between frames: the given ones are held in place and the model paints the others, as many
// in one window as it was trained for.
#pragma once

#include <functional>
#include <vector>

#include "pipelines/video/window_sampler.h"

namespace gesso {

class Interpolator {
 public:
  using Work = std::function<Tensor(Window window)>;  // samples a window
  using Emit = std::function<void(ConstView frame)>;  // takes a finished frame [1, C, 1, H, W]

  // Throws kUsage unless two given frames and `between` between them fit into `length` frames.
  static void RequireFit(int64_t between, int64_t length);

  // `between` >= 1 new frames between each two, in windows of `shape` [1, C, T, H, W].
  Interpolator(int64_t between, const Shape& shape, Work work, Emit emit);

  // The next given frame [1, C, 1, H, W]. Emits as soon as a window is full.
  void Add(Tensor frame);
  // Emits what is left. `first`: the clip is a loop, and its first frame follows.
  void Finish(const Tensor* first);

  // Windows that a clip of `frames` frames takes.
  int64_t CountWindows(int64_t frames, bool loop) const;

 private:
  int64_t Step() const { return between_ + 1; }
  // Given frames that a window holds.
  int64_t Capacity() const { return 1 + (shape_[2] - 1) / Step(); }
  void Paint();

  int64_t between_;
  Shape shape_;
  Work work_;
  Emit emit_;
  std::vector<Tensor> given_;
  int64_t first_ = 0;  // number of the first given frame
};

}  // namespace gesso
