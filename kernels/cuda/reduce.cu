#include "kernels/cuda/reduce.h"

#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotMatchDeviation(const MatchDeviationArgs& args) {
  return WhyNotReachable({args.reference, args.x});
}

void MatchDeviation(Context&, const MatchDeviationArgs& args) {
  MatchDeviationBody body(args);
  auto* const memory =
      static_cast<float*>(Scratch(0, static_cast<size_t>(body.ScratchFloats()) * sizeof(float)));
  body.UseScratch(memory);
  ForEachRow<BlockLanes>(body.Parts(), DeviationPartRow{body});
  ForEach(args.x.shape[0], DeviationFactorElement{body});
  ForEach(args.x.numel(), DeviationScaleElement{body});
}

}  // namespace gesso::cuda
