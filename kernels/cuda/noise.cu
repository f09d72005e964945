#include "kernels/cuda/noise.h"

#include "kernels/cuda/device/noise.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotDrawNormal(const DrawNormalArgs& args) {
  return WhyNotReachable({args.out});
}

void DrawNormal(Context&, const DrawNormalArgs& args) {
  ForEach((args.out.numel() + 1) / 2, NormalPairElement(args));
}

}  // namespace gesso::cuda
