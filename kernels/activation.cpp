#include "kernels/activation.h"

#include "kernels/core/check.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/highway.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/ref/activation.h"

namespace gesso {

namespace {

OpCost CostOfGlu(const GluArgs& args) {
  // An activation is counted as the 20 operations of its polynomial.
  return {21 * static_cast<double>(args.out.numel()),
          static_cast<double>(args.value.bytes() + args.gate.bytes() + args.out.bytes())};
}

OpCost CostOfActivate(const ActivateArgs& args) {
  return {20 * static_cast<double>(args.out.numel()),
          static_cast<double>(args.x.bytes() + args.out.bytes())};
}

}  // namespace

void Glu(Context& ctx, const GluArgs& args) {
  CheckFloat("glu", "value", args.value);
  CheckDType("glu", "gate", args.gate, args.value.dtype);
  CheckFloat("glu", "out", args.out);
  CheckRank("glu", "value", args.value, 2);
  CheckShape("glu", "gate", args.gate, args.value.shape);
  CheckShape("glu", "out", args.out, args.value.shape);
  CheckRows("glu", "value", args.value);
  CheckRows("glu", "gate", args.gate);
  CheckRows("glu", "out", args.out);
  if (args.out.numel() == 0) return;
  GluTable().Run(ctx, args);
}

void Activate(Context& ctx, const ActivateArgs& args) {
  CheckFloat("activate", "x", args.x);
  CheckFloat("activate", "out", args.out);
  CheckRank("activate", "x", args.x, 2);
  CheckShape("activate", "out", args.out, args.x.shape);
  CheckRows("activate", "x", args.x);
  CheckRows("activate", "out", args.out);
  if (args.out.numel() == 0) return;
  ActivateTable().Run(ctx, args);
}

const OpTable<ActivateArgs>& ActivateTable() {
  static const OpTable<ActivateArgs> kTable(
      "activate", CostOfActivate,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::Activate},
          GESSO_CUDA_OP(cuda::WhyNotActivate, cuda::Activate),
          {"ref", Device::kCpu, AcceptsAll, ref::Activate},
      });
  return kTable;
}

const OpTable<GluArgs>& GluTable() {
  static const OpTable<GluArgs> kTable("glu", CostOfGlu,
                                       {
                                           {"highway", Device::kCpu, cpu::HasVectors, cpu::Glu},
                                           GESSO_CUDA_OP(cuda::WhyNotGlu, cuda::Glu),
                                           {"ref", Device::kCpu, AcceptsAll, ref::Glu},
                                       });
  return kTable;
}

}  // namespace gesso
