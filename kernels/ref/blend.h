// FadeIn, pixel by pixel.
#pragma once

#include "kernels/blend.h"

namespace gesso::ref {

void FadeIn(Context& ctx, const FadeInArgs& args);

}  // namespace gesso::ref
