#include "kernels/causal_conv.h"

#include "kernels/core/check.h"
#include "kernels/cpu/causal_conv.h"
#include "kernels/cpu/highway.h"
#include "kernels/cuda/scan.h"
#include "kernels/ref/causal_conv.h"

namespace gesso {

namespace {

constexpr std::string_view kOp = "causal_conv1d";

void CheckState(std::string_view name, ConstView state, const CausalConv1dArgs& args) {
  if (state.empty()) return;
  CheckDType(kOp, name, state, DType::kF32);
  CheckContiguous(kOp, name, state);
  const Shape& x = args.x.shape;
  Require(state.shape.rank() == 3 && state.shape[0] == x[0] && state.shape[1] == x[2] &&
              state.shape[2] >= args.weight.shape[1] - 1,
          ErrorKind::kShape, "{}: {} must be [{}, {}, {} or more], got {}", kOp, name, x[0], x[2],
          args.weight.shape[1] - 1, state.shape);
}

OpCost CostOf(const CausalConv1dArgs& args) {
  const double taps = static_cast<double>(args.weight.shape[1]);
  return {2 * taps * static_cast<double>(args.x.numel()),
          static_cast<double>(args.x.bytes() + args.out.bytes() + args.weight.bytes())};
}

}  // namespace

void CausalConv1d(Context& ctx, const CausalConv1dArgs& args) {
  CheckFloat(kOp, "x", args.x);
  CheckRank(kOp, "x", args.x, 3);
  CheckRows(kOp, "x", args.x);
  const Shape& x = args.x.shape;
  CheckDType(kOp, "weight", args.weight, DType::kF32);
  CheckContiguous(kOp, "weight", args.weight);
  Require(args.weight.shape.rank() == 2 && args.weight.shape[0] == x[2] && args.weight.shape[1] > 0,
          ErrorKind::kShape, "{}: weight must be [{}, taps], got {}", kOp, x[2], args.weight.shape);
  if (!args.bias.empty()) {
    CheckDType(kOp, "bias", args.bias, DType::kF32);
    CheckShape(kOp, "bias", args.bias, {x[2]});
    CheckContiguous(kOp, "bias", args.bias);
  }
  CheckState("initial_state", args.initial_state, args);
  CheckState("final_state", args.final_state, args);
  Require(args.initial_state.empty() || args.final_state.empty() ||
              args.initial_state.shape == args.final_state.shape,
          ErrorKind::kShape, "{}: initial_state {} and final_state {} differ", kOp,
          args.initial_state.shape, args.final_state.shape);
  CheckFloat(kOp, "out", args.out);
  CheckShape(kOp, "out", args.out, x);
  CheckContiguous(kOp, "out", args.out);
  Require(x.numel() > 0, ErrorKind::kShape, "{}: there is no token in {}", kOp, x);
  Require(args.activation == Activation::kNone || args.activation == Activation::kSilu,
          ErrorKind::kUnsupported, "{}: the activation must be none or SiLU", kOp);
  CausalConv1dTable().Run(ctx, args);
}

const OpTable<CausalConv1dArgs>& CausalConv1dTable() {
  static const OpTable<CausalConv1dArgs> kTable(
      kOp, CostOf,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::CausalConv1d},
          GESSO_CUDA_OP(cuda::WhyNotCausalConv1d, cuda::CausalConv1d),
          {"ref", Device::kCpu, AcceptsAll, ref::CausalConv1d},
      });
  return kTable;
}

}  // namespace gesso
