#include "kernels/rope.h"

#include "kernels/core/check.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/rope.h"
#include "kernels/cuda/heads.h"
#include "kernels/ref/rope.h"

namespace gesso {

namespace {

OpCost CostOfRope(const RopeArgs& args) {
  const double elements = static_cast<double>(args.x.numel());
  const double scaled = args.scale.empty() ? 0 : 3 * elements;
  const double rotated = args.cos.empty()
                             ? 0
                             : 6 * static_cast<double>(args.x.shape[0] * args.x.shape[2] /
                                                       DistinctHeads(args) * args.cos.numel());
  const double tables = args.cos.empty() ? 0 : 2 * static_cast<double>(args.cos.bytes());
  return {scaled + rotated, 2 * static_cast<double>(args.x.bytes()) + tables};
}

// `count`, where it divides the heads; where it does not, the only count that could be meant.
int64_t DistinctOf(const RopeArgs& args, int64_t count) {
  const int64_t heads = args.x.shape[2];
  return count > 0 && heads % count == 0 ? count : heads;
}

void CheckScale(const RopeArgs& args) {
  if (args.scale.empty()) return;
  CheckDType("rope", "scale", args.scale, DType::kF32);
  CheckShape("rope", "scale", args.scale, {DistinctOf(args, DistinctHeads(args))});
  CheckContiguous("rope", "scale", args.scale);
}

void CheckAngles(const RopeArgs& args) {
  Require(args.cos.empty() == args.sin.empty(), ErrorKind::kShape,
          "rope: cos and sin must be given together");
  if (args.cos.empty()) return;
  CheckDType("rope", "cos", args.cos, DType::kF32);
  CheckDType("rope", "sin", args.sin, DType::kF32);
  CheckRank("rope", "cos", args.cos, 3);
  const int64_t half = args.cos.shape[2];
  CheckShape("rope", "cos", args.cos, {args.x.shape[1], DistinctOf(args, args.cos.shape[1]), half});
  CheckShape("rope", "sin", args.sin, args.cos.shape);
  CheckContiguous("rope", "cos", args.cos);
  CheckContiguous("rope", "sin", args.sin);
  Require(2 * half <= args.x.shape[3], ErrorKind::kShape,
          "rope: cos {} rotates {} channels but x {} has {}", args.cos.shape, 2 * half,
          args.x.shape, args.x.shape[3]);
}

}  // namespace

void Rope(Context& ctx, const RopeArgs& args) {
  CheckFloat("rope", "x", args.x);
  CheckRank("rope", "x", args.x, 4);
  CheckRows("rope", "x", args.x);
  CheckAngles(args);
  CheckScale(args);
  if (args.x.numel() == 0) return;
  RopeTable().Run(ctx, args);
}

const OpTable<RopeArgs>& RopeTable() {
  static const OpTable<RopeArgs> kTable("rope", CostOfRope,
                                        {
                                            {"highway", Device::kCpu, cpu::HasVectors, cpu::Rope},
                                            GESSO_CUDA_OP(cuda::WhyNotRope, cuda::Rope),
                                            {"ref", Device::kCpu, AcceptsAll, ref::Rope},
                                        });
  return kTable;
}

}  // namespace gesso
