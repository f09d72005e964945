// CUDA: reductions whose result stays on the device.
#pragma once

#include "kernels/reduce.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotMatchDeviation(const MatchDeviationArgs& args);
void MatchDeviation(Context& ctx, const MatchDeviationArgs& args);

}  // namespace gesso::cuda
