#include "kernels/group_norm.h"

#include "kernels/core/check.h"
#include "kernels/cpu/group_norm.h"
#include "kernels/cpu/highway.h"
#include "kernels/cuda/norm.h"
#include "kernels/ref/group_norm.h"

namespace gesso {

namespace {

constexpr std::string_view kOp = "group_norm";

void CheckChannels(std::string_view name, ConstView value, int64_t channels) {
  if (value.empty()) return;
  CheckDType(kOp, name, value, DType::kF32);
  CheckShape(kOp, name, value, {channels});
  CheckContiguous(kOp, name, value);
}

OpCost CostOf(const GroupNormArgs& args) {
  // An activation is counted as the 20 operations of its polynomial.
  const double each = 7 + (args.activation == Activation::kNone ? 0 : 20);
  return {each * static_cast<double>(args.x.numel()),
          static_cast<double>(args.x.bytes() + args.out.bytes())};
}

}  // namespace

void GroupNorm(Context& ctx, const GroupNormArgs& args) {
  CheckFloat(kOp, "x", args.x);
  CheckFloat(kOp, "out", args.out);
  CheckRank(kOp, "x", args.x, 4);
  CheckShape(kOp, "out", args.out, args.x.shape);
  CheckContiguous(kOp, "x", args.x);
  CheckContiguous(kOp, "out", args.out);
  const int64_t channels = args.x.shape[3];
  Require(args.groups >= 1 && channels % args.groups == 0, ErrorKind::kShape,
          "{}: {} channels are not {} equal groups", kOp, channels, args.groups);
  CheckChannels("scale", args.scale, channels);
  CheckChannels("shift", args.shift, channels);
  if (args.x.numel() == 0) return;
  GroupNormTable().Run(ctx, args);
}

const OpTable<GroupNormArgs>& GroupNormTable() {
  static const OpTable<GroupNormArgs> kTable(
      kOp, CostOf,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::GroupNorm},
          GESSO_CUDA_OP(cuda::WhyNotGroupNorm, cuda::GroupNorm),
          {"ref", Device::kCpu, AcceptsAll, ref::GroupNorm},
      });
  return kTable;
}

}  // namespace gesso
