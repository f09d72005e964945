// FadeIn and Hold, pixel by pixel.
#pragma once

#include "kernels/blend.h"

namespace gesso::ref {

void FadeIn(Context& ctx, const FadeInArgs& args);
void Hold(Context& ctx, const HoldArgs& args);

}  // namespace gesso::ref
