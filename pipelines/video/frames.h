// Frames of clips [1, C, T, H, W] f32 taken out and put in.
#pragma once

#include "kernels/core/tensor.h"

namespace gesso {

// A copy of frames first..first+count-1, [1, C, count, H, W].
Tensor TakeFrames(ConstView clip, int64_t first, int64_t count);

// Copies `frames` [1, C, n, H, W] over frames at..at+n-1 of `clip`.
void PutFrames(ConstView frames, int64_t at, View clip);

}  // namespace gesso
