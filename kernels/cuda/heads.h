// CUDA: rotary embedding and the preparation of queries, keys and values; a warp a head vector.
#pragma once

#include "kernels/heads.h"
#include "kernels/rope.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotRope(const RopeArgs& args);
void Rope(Context& ctx, const RopeArgs& args);
std::optional<std::string_view> WhyNotPrepareHeads(const PrepareHeadsArgs& args);
void PrepareHeads(Context& ctx, const PrepareHeadsArgs& args);

}  // namespace gesso::cuda
