// CUDA: the nearest entry of a codebook, in double.
#pragma once

#include "kernels/nearest_code.h"

namespace gesso::cuda {

// The codes [V, D] f32 as the search reads them. Throws kMemory.
PackedMatrix PackCodes(ConstView codes);

std::optional<std::string_view> WhyNotNearestCode(const NearestCodeArgs& args);
void NearestCode(Context& ctx, const NearestCodeArgs& args);

}  // namespace gesso::cuda
