#include "kernels/resize.h"

#include "kernels/core/check.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/resize.h"
#include "kernels/cuda/picture.h"
#include "kernels/ref/resize.h"

namespace gesso {

namespace {

constexpr std::string_view kOp = "resize";

// Elements that an output reads along an axis, on average.
double TapsOf(Resampling resampling, int64_t in, int64_t out) {
  switch (resampling) {
    case Resampling::kNearest:
      return 1;
    case Resampling::kArea:
      return in > out ? static_cast<double>(in) / static_cast<double>(out) : 1;
    case Resampling::kBilinear:
      return 2;
    case Resampling::kBicubic:
      return 4;
  }
  CHECK(false);
}

OpCost CostOf(const ResizeArgs& args) {
  const Shape& in = args.x.shape;
  const Shape& out = args.out.shape;
  const double taps =
      TapsOf(args.resampling, in[1], out[1]) * TapsOf(args.resampling, in[2], out[2]);
  const double flops = args.resampling == Resampling::kNearest ? 0 : 2 * taps;
  return {flops * static_cast<double>(args.out.numel()),
          static_cast<double>(args.x.bytes() + args.out.bytes())};
}

}  // namespace

void Resize(Context& ctx, const ResizeArgs& args) {
  CheckFloat(kOp, "x", args.x);
  CheckFloat(kOp, "out", args.out);
  CheckRank(kOp, "x", args.x, 4);
  CheckRank(kOp, "out", args.out, 4);
  CheckContiguous(kOp, "x", args.x);
  CheckContiguous(kOp, "out", args.out);
  const Shape& x = args.x.shape;
  const Shape& out = args.out.shape;
  Require(out[0] == x[0] && out[3] == x[3], ErrorKind::kShape,
          "{}: out {} must have the pictures and channels of x {}", kOp, out, x);
  if (args.out.numel() == 0) return;
  Require(x[1] > 0 && x[2] > 0, ErrorKind::kShape, "{}: x {} has no pixels", kOp, x);
  ResizeTable().Run(ctx, args);
}

const OpTable<ResizeArgs>& ResizeTable() {
  static const OpTable<ResizeArgs> kTable(
      kOp, CostOf,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::Resize},
          GESSO_CUDA_OP(cuda::WhyNotResize, cuda::Resize),
          {"ref", Device::kCpu, AcceptsAll, ref::Resize},
      });
  return kTable;
}

}  // namespace gesso
