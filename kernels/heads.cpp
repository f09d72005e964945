#include "kernels/heads.h"

#include "kernels/core/check.h"
#include "kernels/core/host_reads.h"
#include "kernels/cpu/heads.h"
#include "kernels/cpu/highway.h"
#include "kernels/cuda/heads.h"
#include "kernels/ref/heads.h"

namespace gesso {

namespace {

constexpr std::string_view kOp = "prepare_heads";

OpCost CostOfPrepareHeads(const PrepareHeadsArgs& args) {
  const double work = (args.normalize ? 3 : 1) + (args.cos.empty() ? 0 : 3);
  return {work * static_cast<double>(args.x.numel()),
          static_cast<double>(args.x.bytes() + args.out.bytes())};
}

void CheckAngles(const Context& ctx, const PrepareHeadsArgs& args) {
  const Shape& s = args.x.shape;
  Require(s[3] % 2 == 0, ErrorKind::kShape, "{}: head size {} is not even", kOp, s[3]);
  CheckDType(kOp, "cos", args.cos, DType::kF32);
  CheckDType(kOp, "sin", args.sin, DType::kF32);
  CheckRank(kOp, "cos", args.cos, 2);
  CheckShape(kOp, "cos", args.cos, {args.cos.shape[0], s[3] / 2});
  CheckShape(kOp, "sin", args.sin, args.cos.shape);
  CheckContiguous(kOp, "cos", args.cos);
  CheckContiguous(kOp, "sin", args.sin);
  if (args.positions.empty()) {
    Require(args.cos.shape[0] >= s[1], ErrorKind::kShape, "{}: {} rows of angles for {} tokens",
            kOp, args.cos.shape[0], s[1]);
    return;
  }
  CheckDType(kOp, "positions", args.positions, DType::kI32);
  CheckShape(kOp, "positions", args.positions, {s[0], s[1]});
  CheckContiguous(kOp, "positions", args.positions);
  if (!HostReads(ctx, PrepareHeadsTable(), args)) return;  // a GPU makes NaN of such positions
  const auto* const rows = args.positions.Data<int32_t>();
  for (int64_t i = 0; i < args.positions.numel(); ++i) {
    const int32_t row = rows[i];
    Require(row >= 0 && row < args.cos.shape[0], ErrorKind::kShape,
            "{}: position {} is outside the {} rows of angles", kOp, row, args.cos.shape[0]);
  }
}

}  // namespace

void PrepareHeads(Context& ctx, const PrepareHeadsArgs& args) {
  CheckFloat(kOp, "x", args.x);
  CheckFloat(kOp, "out", args.out);
  CheckRank(kOp, "x", args.x, 4);
  CheckShape(kOp, "out", args.out, args.x.shape);
  CheckRows(kOp, "x", args.x);
  CheckRows(kOp, "out", args.out);
  if (!args.scale.empty()) {
    CheckDType(kOp, "scale", args.scale, DType::kF32);
    CheckShape(kOp, "scale", args.scale, {args.x.shape[2]});
    CheckContiguous(kOp, "scale", args.scale);
  }
  if (!args.cos.empty()) CheckAngles(ctx, args);
  if (args.out.numel() == 0) return;
  PrepareHeadsTable().Run(ctx, args);
}

const OpTable<PrepareHeadsArgs>& PrepareHeadsTable() {
  static const OpTable<PrepareHeadsArgs> kTable(
      kOp, CostOfPrepareHeads,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::PrepareHeads},
          GESSO_CUDA_OP(cuda::WhyNotPrepareHeads, cuda::PrepareHeads),
          {"ref", Device::kCpu, AcceptsAll, ref::PrepareHeads},
      });
  return kTable;
}

}  // namespace gesso
