// CUDA: pictures and maps of another size, and two that become one.
#pragma once

#include "kernels/blend.h"
#include "kernels/resize.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotResize(const ResizeArgs& args);
void Resize(Context& ctx, const ResizeArgs& args);
std::optional<std::string_view> WhyNotFadeIn(const FadeInArgs& args);
void FadeIn(Context& ctx, const FadeInArgs& args);
std::optional<std::string_view> WhyNotHold(const HoldArgs& args);
void Hold(Context& ctx, const HoldArgs& args);

}  // namespace gesso::cuda
