#include "kernels/cuda/sample.h"

#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/sample.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotGumbelSoftmax(const GumbelSoftmaxArgs& args) {
  return WhyNotReachable({args.logits, args.gumbel, args.weights});
}

void GumbelSoftmax(Context&, const GumbelSoftmaxArgs& args) {
  ForEachRow<WarpLanes>(args.logits.shape[0], GumbelSoftmaxRow(args));
}

}  // namespace gesso::cuda
