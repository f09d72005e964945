#include "kernels/heads.h"

#include <array>

#include "kernels/core/check.h"
#include "kernels/core/host_reads.h"
#include "kernels/cpu/heads.h"
#include "kernels/cpu/highway.h"
#include "kernels/cuda/heads.h"
#include "kernels/ref/heads.h"

namespace gesso {

namespace {

constexpr std::string_view kOp = "prepare_heads";

struct PartNames {
  std::string_view x, scale, out;
};
constexpr std::array<PartNames, kMostHeadParts> kNames = {{
    {"parts[0].x", "parts[0].scale", "parts[0].out"},
    {"parts[1].x", "parts[1].scale", "parts[1].out"},
    {"parts[2].x", "parts[2].scale", "parts[2].out"},
}};

OpCost CostOfPrepareHeads(const PrepareHeadsArgs& args) {
  OpCost cost;
  for (const HeadPart& part : args.parts) {
    const double work = (part.normalize ? 3 : 1) + (part.rotate ? 3 : 0);
    cost.flops += work * static_cast<double>(part.x.numel());
    cost.bytes += static_cast<double>(part.x.bytes() + part.out.bytes());
  }
  return cost;
}

void CheckPart(const HeadPart& part, const PartNames& names, const Shape& shape) {
  CheckFloat(kOp, names.x, part.x);
  CheckFloat(kOp, names.out, part.out);
  CheckShape(kOp, names.x, part.x, shape);
  CheckShape(kOp, names.out, part.out, shape);
  CheckRows(kOp, names.x, part.x);
  CheckRows(kOp, names.out, part.out);
  if (part.scale.empty()) return;
  CheckDType(kOp, names.scale, part.scale, DType::kF32);
  CheckShape(kOp, names.scale, part.scale, {shape[2]});
  CheckContiguous(kOp, names.scale, part.scale);
}

void CheckAngles(const Context& ctx, const PrepareHeadsArgs& args) {
  const Shape& s = args.parts[0].x.shape;
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
  Require(!args.parts.empty() && args.parts.size() <= kMostHeadParts, ErrorKind::kShape,
          "{}: {} parts; there must be 1 to {}", kOp, args.parts.size(), kMostHeadParts);
  const Shape& shape = args.parts[0].x.shape;
  CheckRank(kOp, kNames[0].x, args.parts[0].x, 4);
  for (size_t i = 0; i < args.parts.size(); ++i) {
    CheckPart(args.parts[i], kNames[i], shape);
    Require(!args.parts[i].rotate || !args.cos.empty(), ErrorKind::kShape,
            "{}: part {} rotates, but there are no angles", kOp, i);
  }
  if (!args.cos.empty()) CheckAngles(ctx, args);
  if (shape.numel() == 0) return;
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
