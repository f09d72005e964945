#include "kernels/cuda/heads.h"

#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotRope(const RopeArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.cos, args.sin});
}

void Rope(Context&, const RopeArgs& args) {
  const Shape& s = args.x.shape;
  ForEachRow<WarpLanes>(s[0] * s[1] * s[2], RopeRow(args));
}

std::optional<std::string_view> WhyNotPrepareHeads(const PrepareHeadsArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.cos, args.sin, args.positions, args.out});
}

void PrepareHeads(Context&, const PrepareHeadsArgs& args) {
  const Shape& s = args.x.shape;
  ForEachRow<WarpLanes>(s[0] * s[1] * s[2], PrepareHeadsRow(args));
}

}  // namespace gesso::cuda
