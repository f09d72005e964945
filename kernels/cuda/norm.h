// CUDA: RmsNorm, LayerNorm and GroupNorm.
#pragma once

#include "kernels/group_norm.h"
#include "kernels/norm.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotRmsNorm(const RmsNormArgs& args);
void RmsNorm(Context& ctx, const RmsNormArgs& args);
std::optional<std::string_view> WhyNotLayerNorm(const LayerNormArgs& args);
void LayerNorm(Context& ctx, const LayerNormArgs& args);
std::optional<std::string_view> WhyNotGroupNorm(const GroupNormArgs& args);
void GroupNorm(Context& ctx, const GroupNormArgs& args);

}  // namespace gesso::cuda
