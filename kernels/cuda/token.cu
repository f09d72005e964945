#include "kernels/cuda/token.h"

#include "kernels/cuda/device/token.cuh"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotSpaceDepth(const SpaceDepthArgs& args) {
  return WhyNotReachable({args.x, args.out});
}

void SpaceDepth(Context&, const SpaceDepthArgs& args) {
  ForEachVector(SpaceDepthElement::Wide(args).numel(), SpaceDepthElement(args));
}

std::optional<std::string_view> WhyNotGatherRows(const GatherRowsArgs& args) {
  return WhyNotReachable({args.table, args.ids, args.out});
}

void GatherRows(Context&, const GatherRowsArgs& args) {
  ForEachVector(args.out.numel(), GatherRowsElement(args));
}

std::optional<std::string_view> WhyNotSelectTokens(const SelectTokensArgs& args) {
  return WhyNotReachable({args.x, args.ids, args.out});
}

void SelectTokens(Context&, const SelectTokensArgs& args) {
  ForEachVector(args.inverse ? args.x.numel() : args.out.numel(), SelectTokensElement(args));
}

}  // namespace gesso::cuda
