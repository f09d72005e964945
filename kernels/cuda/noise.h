// CUDA: normal numbers, a thread a pair.
#pragma once

#include "kernels/noise.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotDrawNormal(const DrawNormalArgs& args);
void DrawNormal(Context& ctx, const DrawNormalArgs& args);

}  // namespace gesso::cuda
