// CUDA: selective scan, state-space duality and the causal convolution.
#pragma once

#include "kernels/causal_conv.h"
#include "kernels/scan.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotSelectiveScan(const SelectiveScanArgs& args);
void SelectiveScan(Context& ctx, const SelectiveScanArgs& args);
std::optional<std::string_view> WhyNotSsd(const SsdArgs& args);
void Ssd(Context& ctx, const SsdArgs& args);
std::optional<std::string_view> WhyNotCausalConv1d(const CausalConv1dArgs& args);
void CausalConv1d(Context& ctx, const CausalConv1dArgs& args);

}  // namespace gesso::cuda
