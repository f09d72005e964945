#include "kernels/token.h"

#include "kernels/core/check.h"
#include "kernels/core/host_reads.h"
#include "kernels/cpu/token.h"
#include "kernels/cuda/token.h"
#include "kernels/ref/token.h"

namespace gesso {

namespace {

OpCost CostOfSpaceDepth(const SpaceDepthArgs& args) {
  return {0, static_cast<double>(args.x.bytes() + args.out.bytes())};
}

OpCost CostOfGatherRows(const GatherRowsArgs& args) {
  const size_t read = static_cast<size_t>(args.out.numel()) * SizeOf(args.table.dtype);
  return {0, static_cast<double>(read + args.ids.bytes() + args.out.bytes())};
}

OpCost CostOfSelectTokens(const SelectTokensArgs& args) {
  const ConstView part = args.inverse ? args.x : ConstView(args.out);
  return {0, static_cast<double>(2 * part.bytes() + args.ids.bytes())};
}

// Throws kShape unless every id is in 0..rows-1, where an implementation of the CPU reads them,
// also in a device's place. Where a device does the host does not wait for it to look at them: what
// such an id asks for becomes NaN.
template <class Args>
void CheckIds(const Context& ctx, const OpTable<Args>& table, const Args& args, int64_t rows) {
  if (!HostReads(ctx, table, args)) return;
  const auto* const ids = args.ids.template Data<int32_t>();
  for (int64_t i = 0; i < args.ids.numel(); ++i) {
    const int32_t id = ids[i];
    Require(id >= 0 && id < rows, ErrorKind::kShape,
            "{}: id {} at position {} is outside the table of {} rows", table.op(), id, i, rows);
  }
}

}  // namespace

void SpaceDepth(Context& ctx, const SpaceDepthArgs& args) {
  constexpr std::string_view kOp = "space_depth";
  CheckFloat(kOp, "x", args.x);
  CheckFloat(kOp, "out", args.out);
  CheckRank(kOp, "x", args.x, 4);
  CheckRank(kOp, "out", args.out, 4);
  Require(args.block_h >= 1 && args.block_w >= 1, ErrorKind::kShape,
          "{}: block {} x {} must be positive", kOp, args.block_h, args.block_w);
  const ConstView deep = args.inverse ? args.x : ConstView(args.out);
  const ConstView wide = args.inverse ? ConstView(args.out) : args.x;
  const Shape& w = wide.shape;
  Require(w[1] % args.block_h == 0 && w[2] % args.block_w == 0, ErrorKind::kShape,
          "{}: {} {} does not divide into blocks of {} x {}", kOp, args.inverse ? "out" : "x", w,
          args.block_h, args.block_w);
  CheckShape(kOp, args.inverse ? "x" : "out", deep,
             {w[0], w[1] / args.block_h, w[2] / args.block_w, args.block_h * args.block_w * w[3]});
  if (args.out.numel() == 0) return;
  SpaceDepthTable().Run(ctx, args);
}

void GatherRows(Context& ctx, const GatherRowsArgs& args) {
  constexpr std::string_view kOp = "gather_rows";
  CheckFloat(kOp, "table", args.table);
  CheckRank(kOp, "table", args.table, 2);
  CheckContiguous(kOp, "table", args.table);
  CheckDType(kOp, "ids", args.ids, DType::kI32);
  CheckContiguous(kOp, "ids", args.ids);
  CheckDType(kOp, "out", args.out, DType::kF32);
  CheckContiguous(kOp, "out", args.out);
  Shape wanted = args.out.shape;
  Require(wanted.rank() == args.ids.shape.rank() + 1, ErrorKind::kShape,
          "{}: out {} must have one dimension more than ids {}", kOp, wanted, args.ids.shape);
  for (int axis = 0; axis < args.ids.shape.rank(); ++axis) wanted.Set(axis, args.ids.shape[axis]);
  wanted.Set(-1, args.table.shape[1]);
  CheckShape(kOp, "out", args.out, wanted);
  if (args.out.numel() == 0) return;
  CheckIds(ctx, GatherRowsTable(), args, args.table.shape[0]);
  GatherRowsTable().Run(ctx, args);
}

void SelectTokens(Context& ctx, const SelectTokensArgs& args) {
  constexpr std::string_view kOp = "select_tokens";
  const ConstView part = args.inverse ? args.x : ConstView(args.out);
  const ConstView all = args.inverse ? ConstView(args.out) : args.x;
  CheckDType(kOp, "x", args.x, DType::kF32);
  CheckDType(kOp, "out", args.out, DType::kF32);
  CheckDType(kOp, "ids", args.ids, DType::kI32);
  CheckContiguous(kOp, "x", args.x);
  CheckContiguous(kOp, "out", args.out);
  CheckContiguous(kOp, "ids", args.ids);
  CheckRank(kOp, args.inverse ? "out" : "x", all, 3);
  CheckRank(kOp, "ids", args.ids, 2);
  const Shape& s = all.shape;
  CheckShape(kOp, "ids", args.ids, {s[0], args.ids.shape[1]});
  CheckShape(kOp, args.inverse ? "x" : "out", part, {s[0], args.ids.shape[1], s[2]});
  if (part.numel() == 0) return;
  CheckIds(ctx, SelectTokensTable(), args, s[1]);
  SelectTokensTable().Run(ctx, args);
}

const OpTable<SelectTokensArgs>& SelectTokensTable() {
  static const OpTable<SelectTokensArgs> kTable(
      "select_tokens", CostOfSelectTokens,
      {
          {"runs", Device::kCpu, AcceptsAll, cpu::SelectTokens},
          GESSO_CUDA_OP(cuda::WhyNotSelectTokens, cuda::SelectTokens),
          {"ref", Device::kCpu, AcceptsAll, ref::SelectTokens},
      });
  return kTable;
}

const OpTable<SpaceDepthArgs>& SpaceDepthTable() {
  static const OpTable<SpaceDepthArgs> kTable(
      "space_depth", CostOfSpaceDepth,
      {
          {"runs", Device::kCpu, AcceptsAll, cpu::SpaceDepth},
          GESSO_CUDA_OP(cuda::WhyNotSpaceDepth, cuda::SpaceDepth),
          {"ref", Device::kCpu, AcceptsAll, ref::SpaceDepth},
      });
  return kTable;
}

const OpTable<GatherRowsArgs>& GatherRowsTable() {
  static const OpTable<GatherRowsArgs> kTable(
      "gather_rows", CostOfGatherRows,
      {
          {"runs", Device::kCpu, AcceptsAll, cpu::GatherRows},
          GESSO_CUDA_OP(cuda::WhyNotGatherRows, cuda::GatherRows),
          {"ref", Device::kCpu, AcceptsAll, ref::GatherRows},
      });
  return kTable;
}

}  // namespace gesso
