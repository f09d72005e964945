#include "kernels/cuda/sample.h"

#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/sample.cuh"
#include "kernels/cuda/device/token_choice.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotSampleTokens(const SampleTokensArgs& args) {
  return WhyNotReachable({args.logits, args.tokens});
}

void SampleTokens(Context&, const SampleTokensArgs& args) {
  constexpr int kUniforms = 0;  // the scratch memory used
  ObstacleWatch::Tell("random numbers come from the host");
  SampleTokensRow body(args);
  const size_t bytes = args.uniforms.size_bytes();
  auto* const uniforms = static_cast<double*>(Scratch(kUniforms, bytes));
  Check(cudaMemcpyAsync(uniforms, args.uniforms.data(), bytes, cudaMemcpyHostToDevice, Stream()),
        "copying random numbers");
  body.uniforms = uniforms;
  // Two values of a bit keep no block busy.
  if (SampleTokensRow::TakesAWarp(args.logits.shape[1])) {
    ForEachRow<WarpLanes>(args.logits.shape[0], body);
  } else {
    ForEachRow<BlockLanes>(args.logits.shape[0], body);
  }
}

std::optional<std::string_view> WhyNotGumbelSoftmax(const GumbelSoftmaxArgs& args) {
  return WhyNotReachable({args.logits, args.gumbel, args.weights});
}

void GumbelSoftmax(Context&, const GumbelSoftmaxArgs& args) {
  ForEachRow<WarpLanes>(args.logits.shape[0], GumbelSoftmaxRow(args));
}

}  // namespace gesso::cuda
