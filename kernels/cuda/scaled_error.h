// CUDA: the error estimate that adaptive samplers decide by; only its parts come to the host.
#pragma once

#include "kernels/reduce.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotScaledError(const ScaledErrorArgs& args);
// Waits for the device.
void ScaledError(Context& ctx, const ScaledErrorArgs& args);

}  // namespace gesso::cuda
