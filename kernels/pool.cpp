#include "kernels/pool.h"

#include "kernels/core/check.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/ref/pool.h"

namespace gesso {

namespace {

OpCost CostOf(const MaskedMeanArgs& args) {
  return {static_cast<double>(args.x.numel()),
          static_cast<double>(args.x.bytes() + args.mask.bytes() + args.out.bytes())};
}

}  // namespace

void MaskedMean(Context& ctx, const MaskedMeanArgs& args) {
  constexpr std::string_view kOp = "masked_mean";
  CheckRank(kOp, "x", args.x, 3);
  CheckDType(kOp, "x", args.x, DType::kF32);
  CheckDType(kOp, "mask", args.mask, DType::kI32);
  CheckDType(kOp, "out", args.out, DType::kF32);
  CheckShape(kOp, "mask", args.mask, {args.x.shape[0], args.x.shape[1]});
  CheckShape(kOp, "out", args.out, {args.x.shape[0], args.x.shape[2]});
  CheckContiguous(kOp, "x", args.x);
  CheckContiguous(kOp, "mask", args.mask);
  CheckContiguous(kOp, "out", args.out);
  if (args.out.numel() == 0) return;
  MaskedMeanTable().Run(ctx, args);
}

const OpTable<MaskedMeanArgs>& MaskedMeanTable() {
  // Once a prompt, over a few dozen tokens: the reference is all that a CPU needs.
  static const OpTable<MaskedMeanArgs> kTable(
      "masked_mean", CostOf,
      {
          GESSO_CUDA_OP(cuda::WhyNotMaskedMean, cuda::MaskedMean),
          {"ref", Device::kCpu, AcceptsAll, ref::MaskedMean},
      });
  return kTable;
}

}  // namespace gesso
