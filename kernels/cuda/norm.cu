#include "kernels/cuda/norm.h"

#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/norm.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotRmsNorm(const RmsNormArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.shift, args.out});
}

void RmsNorm(Context&, const RmsNormArgs& args) {
  const Shape& s = args.x.shape;
  ForEachRow<WarpLanes>(s[0] * s[1] * args.groups, RmsNormRow(args));
}

std::optional<std::string_view> WhyNotLayerNorm(const LayerNormArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.shift, args.out});
}

void LayerNorm(Context&, const LayerNormArgs& args) {
  const Shape& s = args.x.shape;
  ForEachRow<WarpLanes>(s[0] * s[1], LayerNormRow(args));
}

std::optional<std::string_view> WhyNotGroupNorm(const GroupNormArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.shift, args.out});
}

void GroupNorm(Context&, const GroupNormArgs& args) {
  ForEachRow<BlockLanes>(args.x.shape[0] * args.groups, GroupNormRow(args));
}

}  // namespace gesso::cuda
