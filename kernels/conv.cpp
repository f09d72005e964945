#include "kernels/conv.h"

#include "kernels/core/check.h"
#include "kernels/cpu/conv.h"
#include "kernels/cpu/conv_split.h"
#include "kernels/cuda/conv.h"
#include "kernels/cuda/cudnn_conv.h"
#include "kernels/ref/conv.h"

namespace gesso {

namespace {

// Extent of the output along one axis; 0 or less if the kernel does not fit into the input.
int64_t OutputExtent(int64_t extent, int64_t kernel, const Conv2dShape& conv) {
  const int64_t last =
      extent + 2 * conv.padding + conv.end_padding - conv.dilation * (kernel - 1) - 1;
  return last < 0 ? 0 : last / conv.stride + 1;
}

OpCost CostOfConv2d(const Conv2dArgs& args) {
  const Shape& kernel = args.kernel->shape();
  const double taps = static_cast<double>(kernel[1] * kernel[2] * kernel[3]);
  const double weights =
      static_cast<double>(kernel.numel()) * static_cast<double>(SizeOf(args.kernel->dtype()));
  return {2 * static_cast<double>(args.out.numel()) * taps,
          static_cast<double>(args.x.bytes() + args.out.bytes()) + weights +
              static_cast<double>(args.bias.empty() ? 0 : args.bias.bytes()) +
              static_cast<double>(args.residual.empty() ? 0 : args.residual.bytes())};
}

}  // namespace

PackedKernel PackKernel(Device device, ConstView weight, DType dtype, Conv2dShape conv,
                        Factors factors) {
  CheckRank("conv2d", "weight", weight, 4);
  CheckContiguous("conv2d", "weight", weight);
  Require(weight.numel() > 0, ErrorKind::kShape, "conv2d: empty kernel {}", weight.shape);
  Require(dtype == DType::kF32 || dtype == DType::kBF16, ErrorKind::kUnsupported,
          "conv2d: convolutions in {} are not supported", NameOf(dtype));
  Require(conv.stride >= 1 && conv.padding >= 0 && conv.dilation >= 1 && conv.groups >= 1 &&
              conv.end_padding >= 0,
          ErrorKind::kUsage,
          "conv2d: stride {}, padding {} + {}, dilation {}, groups {} make no sense", conv.stride,
          conv.padding, conv.end_padding, conv.dilation, conv.groups);
  Require(weight.shape[0] % conv.groups == 0, ErrorKind::kShape,
          "conv2d: {} outputs are not {} equal groups", weight.shape[0], conv.groups);
  switch (device) {
    case Device::kMeta:
      return PackedKernel(nullptr, weight.shape, dtype, conv);
#ifdef GESSO_HAS_CUDA
    case Device::kCuda:
      return cuda::PackKernel(weight, dtype, conv);
#endif
    default:
      return cpu::PackKernel(weight, dtype, conv, factors);
  }
}

void Conv2d(Context& ctx, const Conv2dArgs& args) {
  CHECK(args.kernel != nullptr);
  const Shape& kernel = args.kernel->shape();
  const Conv2dShape& conv = args.kernel->conv();
  CheckFloat("conv2d", "x", args.x);
  CheckFloat("conv2d", "out", args.out);
  CheckRank("conv2d", "x", args.x, 4);
  CheckContiguous("conv2d", "x", args.x);
  CheckContiguous("conv2d", "out", args.out);
  Require(args.x.shape[3] == kernel[1] * conv.groups, ErrorKind::kShape,
          "conv2d: x {} does not fit kernel {} of {} groups", args.x.shape, kernel, conv.groups);
  const Shape out = {args.x.shape[0], OutputExtent(args.x.shape[1], kernel[2], conv),
                     OutputExtent(args.x.shape[2], kernel[3], conv), kernel[0]};
  CheckShape("conv2d", "out", args.out, out);
  if (!args.bias.empty()) {
    CheckDType("conv2d", "bias", args.bias, DType::kF32);
    CheckShape("conv2d", "bias", args.bias, {kernel[0]});
    CheckContiguous("conv2d", "bias", args.bias);
  }
  if (!args.residual.empty()) {
    CheckDType("conv2d", "residual", args.residual, args.out.dtype);
    CheckShape("conv2d", "residual", args.residual, args.out.shape);
    CheckContiguous("conv2d", "residual", args.residual);
  }
  if (args.out.numel() == 0) return;
  Conv2dTable().Run(ctx, args);
}

const OpTable<Conv2dArgs>& Conv2dTable() {
  static const OpTable<Conv2dArgs> kTable(
      "conv2d", CostOfConv2d,
      {
          {cpu::kSplitName, Device::kCpu, cpu::WhyNotSplitConv, cpu::Conv2dSplit},
          {"onednn", Device::kCpu, cpu::WhyNotOneDnn, cpu::Conv2d},
#ifdef GESSO_HAS_CUDNN
          GESSO_CUDA_OP_NAMED("cudnn", cuda::WhyNotConv2dCudnn, cuda::Conv2dCudnn),
#endif
          GESSO_CUDA_OP(cuda::WhyNotConv2d, cuda::Conv2d),
          {"ref", Device::kCpu, AcceptsAll, ref::Conv2d},
      });
  return kTable;
}

}  // namespace gesso
