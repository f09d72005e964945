// The nearest code through kernels/cpu/gemm.h: products with all codes for a block of vectors, then
// the largest of each row.
#pragma once

#include "kernels/nearest_code.h"

namespace gesso::cpu {

std::optional<std::string_view> WhyNotNearestCode(const NearestCodeArgs& args);
void NearestCode(Context& ctx, const NearestCodeArgs& args);

}  // namespace gesso::cpu
