#include "kernels/embedding.h"

#include "kernels/cuda/pointwise.h"
#include "kernels/ref/embedding.h"

namespace gesso {

namespace {

OpCost CostOf(const FourierFeaturesArgs& args) {
  const double products = static_cast<double>(args.u.shape[0] * args.weight.numel());
  return {2 * products,
          static_cast<double>(args.u.bytes() + args.weight.bytes() + args.out.bytes())};
}

}  // namespace

void FourierFeatures(Context& ctx, const FourierFeaturesArgs& args) {
  const Shape& u = args.u.shape;
  const Shape& weight = args.weight.shape;
  Require(u.rank() == 2 && weight.rank() == 2 && u[1] == weight[1] &&
              args.out.shape == Shape({u[0], 2 * weight[0]}),
          ErrorKind::kShape, "fourier_features: u {}, weight {} and out {} do not fit", u, weight,
          args.out.shape);
  for (const ConstView& view : {args.u, args.weight, ConstView(args.out)}) {
    Require(view.dtype == DType::kF32 && view.IsContiguous(), ErrorKind::kShape,
            "fourier_features: every tensor must be contiguous float32");
  }
  FourierFeaturesTable().Run(ctx, args);
}

const OpTable<FourierFeaturesArgs>& FourierFeaturesTable() {
  // A few hundred cosines a step: the reference is all that a CPU needs.
  static const OpTable<FourierFeaturesArgs> kTable(
      "fourier_features", CostOf,
      {
          GESSO_CUDA_OP(cuda::WhyNotFourierFeatures, cuda::FourierFeatures),
          {"ref", Device::kCpu, AcceptsAll, ref::FourierFeatures},
      });
  return kTable;
}

}  // namespace gesso
