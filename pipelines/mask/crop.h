// The part of a picture that is worked on: round a mask, of the aspect of what a model makes.
#pragma once

#include <optional>

#include "pipelines/image.h"

namespace gesso {

// Pixels left .. left + width - 1; it may lie beyond a picture's border.
struct Rect {
  int64_t left = 0;
  int64_t top = 0;
  int64_t width = 0;
  int64_t height = 0;
  bool operator==(const Rect&) const = default;
};

// The smallest that holds every pixel above 0; none where all are black.
std::optional<Rect> BoundsOf(const Image& mask);

// The smallest round `bounds` and `padding` pixels of the picture on all sides that has the aspect
// width : height. It is centred on them and lies inside the picture where it fits in there.
Rect CropAround(const Rect& bounds, int64_t padding, int64_t width, int64_t height,
                const Image& picture);

// The picture's part in `place`, and beyond its border the pixels that lie next to it there.
Image CutOut(const Image& picture, const Rect& place);

// Puts `part` over `image` from (left, top) on, by a mask of the size of `image`: a pixel of 0
// stays as it is, one of 255 becomes the part's. What lies beyond the border is left out. An RGBA
// picture takes a grey or RGB part as a layer that the mask makes transparent: under 255 it becomes
// opaque, under less as opaque as the two of them make it.
void Paste(const Image& part, int64_t left, int64_t top, const Image& mask, Image& image);

}  // namespace gesso
