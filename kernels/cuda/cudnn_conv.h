// CUDA: convolutions by cuDNN, where its library is there when the program runs.
#pragma once

#include <limits>

#include "kernels/conv.h"

namespace gesso::cuda {

// Whether a convolution is a product of x itself: a kernel of one tap, all pixels, one type.
inline bool IsProduct(const Conv2dArgs& args) {
  const Shape& kernel = args.kernel->shape();
  const Conv2dShape& conv = args.kernel->conv();
  return kernel[2] * kernel[3] == 1 && conv.stride == 1 && conv.groups == 1 &&
         conv.padding + conv.end_padding == 0 && args.x.dtype == args.kernel->dtype();
}

// Why arguments of this shape and type are nothing for cuDNN, before it is asked.
inline std::optional<std::string_view> WhyNotCudnnShape(const Conv2dArgs& args) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  if (args.kernel->conv().end_padding != 0) return "padding at one end alone";
  if (IsProduct(args)) return "a product of matrices as it is";
  if (args.x.numel() > kMost || args.out.numel() > kMost) return "more than 2^31 - 1 numbers";
  return std::nullopt;
}

std::optional<std::string_view> WhyNotConv2dCudnn(const Conv2dArgs& args);
void Conv2dCudnn(Context& ctx, const Conv2dArgs& args);

}  // namespace gesso::cuda
