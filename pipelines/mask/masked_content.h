// What stands where a picture is painted anew before it is: masked content.
#pragma once

#include <string_view>

#include "pipelines/image.h"

namespace gesso {

// Kinds: "keep" leaves the picture as it is, "blur" lets the colours around flow in (push-pull
// interpolation of Gortler et al. 1996, "The lumigraph", section 3.4), "noise" is even noise of all
// values, the same for every seed, and "#rrggbb" a colour. Throws kUsage for any other.
void CheckMaskedContent(std::string_view kind);

// Mixes it into `image` by the mask, which has the same size.
void FillMasked(const Image& mask, std::string_view kind, Image& image);

}  // namespace gesso
