#include "kernels/reduce.h"

#include "kernels/cuda/reduce.h"
#include "kernels/cuda/scaled_error.h"
#include "kernels/ref/reduce.h"

namespace gesso {

namespace {

OpCost CostOfMatchDeviation(const MatchDeviationArgs& args) {
  return {7 * static_cast<double>(args.x.numel()), 4 * static_cast<double>(args.x.bytes())};
}

OpCost CostOfScaledError(const ScaledErrorArgs& args) {
  return {5 * static_cast<double>(args.a.numel()), 3 * static_cast<double>(args.a.bytes())};
}

void CheckTensor(std::string_view op, ConstView x) {
  Require(x.dtype == DType::kF32 && x.IsContiguous() && x.shape.rank() >= 1 && x.numel() > 0,
          ErrorKind::kShape, "{}: needs contiguous float32 tensors, got {} {}", op, NameOf(x.dtype),
          x.shape);
}

}  // namespace

void MatchDeviation(Context& ctx, const MatchDeviationArgs& args) {
  constexpr std::string_view kOp = "match_deviation";
  CheckTensor(kOp, args.x);
  CheckTensor(kOp, args.reference);
  Require(args.x.shape == args.reference.shape, ErrorKind::kShape,
          "{}: x {} and reference {} differ in shape", kOp, args.x.shape, args.reference.shape);
  CHECK(args.share >= 0 && args.share <= 1);
  MatchDeviationTable().Run(ctx, args);
}

void ScaledError(Context& ctx, const ScaledErrorArgs& args) {
  CheckTensor("scaled_error", args.a);
  CheckTensor("scaled_error", args.b);
  CheckTensor("scaled_error", args.reference);
  Require(args.a.shape == args.b.shape && args.a.shape == args.reference.shape, ErrorKind::kShape,
          "scaled_error: a {}, b {} and reference {} differ in shape", args.a.shape, args.b.shape,
          args.reference.shape);
  CHECK(args.absolute > 0 && args.relative >= 0 && args.rms != nullptr);
  ScaledErrorTable().Run(ctx, args);
}

const OpTable<MatchDeviationArgs>& MatchDeviationTable() {
  static const OpTable<MatchDeviationArgs> kTable(
      "match_deviation", CostOfMatchDeviation,
      {
          GESSO_CUDA_OP(cuda::WhyNotMatchDeviation, cuda::MatchDeviation),
          {"ref", Device::kCpu, AcceptsAll<MatchDeviationArgs>, ref::MatchDeviation},
      });
  return kTable;
}

const OpTable<ScaledErrorArgs>& ScaledErrorTable() {
  static const OpTable<ScaledErrorArgs> kTable(
      "scaled_error", CostOfScaledError,
      {
          GESSO_CUDA_OP(cuda::WhyNotScaledError, cuda::ScaledError),
          {"ref", Device::kCpu, AcceptsAll<ScaledErrorArgs>, ref::ScaledError},
      });
  return kTable;
}

}  // namespace gesso
