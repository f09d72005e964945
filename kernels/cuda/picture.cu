#include "kernels/cuda/picture.h"

#include "kernels/cuda/device/picture.cuh"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotResize(const ResizeArgs& args) {
  return WhyNotReachable({args.x, args.out});
}

void Resize(Context&, const ResizeArgs& args) {
  ForEachVector(args.out.numel(), ResizeElement(args));
}

std::optional<std::string_view> WhyNotFadeIn(const FadeInArgs& args) {
  return WhyNotReachable({args.x, args.out});
}

void FadeIn(Context&, const FadeInArgs& args) { ForEach(args.x.numel(), FadeInElement(args)); }

std::optional<std::string_view> WhyNotHold(const HoldArgs& args) {
  return WhyNotReachable({args.known, args.amount, args.out});
}

void Hold(Context&, const HoldArgs& args) { ForEach(args.out.numel(), HoldElement(args)); }

}  // namespace gesso::cuda
