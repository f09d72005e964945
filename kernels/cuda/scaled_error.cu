#include "kernels/cuda/scaled_error.h"

#include <vector>

#include "kernels/cuda/device/scaled_error.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotScaledError(const ScaledErrorArgs& args) {
  return WhyNotReachable({args.a, args.b, args.reference});
}

void ScaledError(Context&, const ScaledErrorArgs& args) {
  constexpr int kSums = 0;  // the scratch memory used
  ScaledErrorPart body(args);
  std::vector<double> sums(static_cast<size_t>(body.parts));
  const size_t bytes = sums.size() * sizeof(double);
  body.sums = static_cast<double*>(Scratch(kSums, bytes));
  ForEach(body.parts, body);
  Check(cudaMemcpyAsync(sums.data(), body.sums, bytes, cudaMemcpyDeviceToHost, Stream()),
        "reading a result");
  WaitForDevice();
  *args.rms = body.RootMeanSquare(sums.data());
}

}  // namespace gesso::cuda
