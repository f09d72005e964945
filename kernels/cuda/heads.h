// CUDA: rotary embedding and the preparation of queries, keys and values; a warp a head vector.
#pragma once

#include <limits>

#include "kernels/heads.h"
#include "kernels/rope.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotRope(const RopeArgs& args);
void Rope(Context& ctx, const RopeArgs& args);
// Why heads are not counted as its rows are; decided without a GPU.
inline std::optional<std::string_view> WhyNotCounted(const PrepareHeadsArgs& args) {
  const Shape& s = args.parts[0].x.shape;
  const int64_t heads = static_cast<int64_t>(args.parts.size()) * s[0] * s[1] * s[2];
  if (heads > std::numeric_limits<int32_t>::max()) return "more than 2^31 - 1 heads";
  return std::nullopt;
}
std::optional<std::string_view> WhyNotPrepareHeads(const PrepareHeadsArgs& args);
void PrepareHeads(Context& ctx, const PrepareHeadsArgs& args);

}  // namespace gesso::cuda
