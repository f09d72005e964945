// Masks: grey pictures, 0 for what is kept, 255 for what is painted anew, between them soft. All
// cost the same a pixel, however far they reach, and give the same on any number of threads.
#pragma once

#include "pipelines/image.h"

namespace gesso {

// How far masks are grown and blurred at most, in pixels.
constexpr int64_t kMaxMaskReach = 1024;

// Black for white and white for black.
void InvertMask(Image& mask);

// Every pixel becomes the lightest within `pixels` along both axes; with a negative number the
// darkest, where what lies beyond the border counts as its last pixels do. Running maxima of van
// Herk 1992, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal
// kernels".
void GrowMask(Image& mask, int64_t pixels);

// Blurred like by a Gaussian of this standard deviation in pixels, which three running means come
// near to (Kovesi 2010, "Fast almost-Gaussian filtering"); it reaches three times as far at most.
// The border's pixels go on beyond it.
void FeatherMask(Image& mask, int64_t deviation);

// The mask at another size. Where an axis shrinks, every pixel is the lightest of those that it
// covers in part or whole, so that no line gets lost, however thin; where it grows, cubic.
Image ScaledMask(const Image& mask, int width, int height);

// Whether some pixel is neither black nor white.
bool IsSoft(const Image& mask);

}  // namespace gesso
