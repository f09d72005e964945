#include "kernels/noise.h"

#include "kernels/core/check.h"
#include "kernels/cuda/noise.h"
#include "kernels/ref/noise.h"

namespace gesso {

namespace {

// Ten rounds of Philox and a Box-Muller transform a pair.
OpCost CostOf(const DrawNormalArgs& args) {
  constexpr double kOperationsANumber = 50;
  return {kOperationsANumber * static_cast<double>(args.terms.size()) *
              static_cast<double>(args.out.numel()),
          static_cast<double>(args.out.bytes())};
}

}  // namespace

void DrawNormal(Context& ctx, const DrawNormalArgs& args) {
  constexpr std::string_view kOp = "draw_normal";
  Require(!args.terms.empty() && args.terms.size() <= kMostNormalTerms, ErrorKind::kShape,
          "{}: {} terms; there must be 1 to {}", kOp, args.terms.size(), kMostNormalTerms);
  CheckDType(kOp, "out", args.out, DType::kF32);
  CheckContiguous(kOp, "out", args.out);
  DrawNormalTable().Run(ctx, args);
}

const OpTable<DrawNormalArgs>& DrawNormalTable() {
  // Cosines in double, so that every CPU draws the same: there is no faster way to have them.
  static const OpTable<DrawNormalArgs> kTable(
      "draw_normal", CostOf,
      {
          GESSO_CUDA_OP(cuda::WhyNotDrawNormal, cuda::DrawNormal),
          {"ref", Device::kCpu, AcceptsAll, ref::DrawNormal},
      });
  return kTable;
}

}  // namespace gesso
