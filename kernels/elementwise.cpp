#include "kernels/elementwise.h"

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/highway.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/ref/elementwise.h"

namespace gesso {

namespace {

OpCost CostOfLinearCombination(const LinearCombinationArgs& args) {
  const double elements = static_cast<double>(args.out.numel());
  const double terms = static_cast<double>(args.terms.size());
  const double sums = args.also.empty() ? 1 : 2;
  // Ten rounds of Philox and a Box-Muller transform a pair of normal numbers.
  constexpr double kOperationsANumber = 50;
  const double drawn =
      args.noise.seeds.empty() ? 0 : static_cast<double>(args.noise.streams.size());
  return {(2 * sums * terms + kOperationsANumber * drawn) * elements,
          (terms + sums) * elements * sizeof(float)};
}

OpCost CostOfGatedAdd(const GatedAddArgs& args) {
  const double streams = args.residual.empty() ? 2 : 3;
  return {2 * static_cast<double>(args.out.numel()),
          streams * static_cast<double>(args.out.bytes()) + static_cast<double>(args.gate.bytes())};
}

void CheckNoise(std::string_view op, const LinearCombinationArgs& args) {
  const NoiseTerm& noise = args.noise;
  Require(!noise.streams.empty() && noise.streams.size() <= kMostNormalTerms, ErrorKind::kShape,
          "{}: noise of {} streams; there must be 1 to {}", op, noise.streams.size(),
          kMostNormalTerms);
  Require(
      args.out.shape.rank() > 0 && args.out.shape[0] == static_cast<int64_t>(noise.seeds.size()),
      ErrorKind::kShape, "{}: noise of {} seeds for out {}", op, noise.seeds.size(),
      args.out.shape);
}

}  // namespace

void LinearCombination(Context& ctx, const LinearCombinationArgs& args) {
  constexpr std::string_view kOp = "elementwise";
  const bool noisy = !args.noise.seeds.empty();
  Require((noisy || !args.terms.empty()) && args.terms.size() <= 8, ErrorKind::kShape,
          "{}: {} terms; there must be 1 to 8", kOp, args.terms.size());
  CheckDType(kOp, "out", args.out, DType::kF32);
  CheckContiguous(kOp, "out", args.out);
  for (size_t i = 0; i < args.terms.size(); ++i) {
    const std::string name = fmt::format("term {}", i);
    CheckDType(kOp, name, args.terms[i].x, DType::kF32);
    CheckShape(kOp, name, args.terms[i].x, args.out.shape);
    CheckContiguous(kOp, name, args.terms[i].x);
  }
  if (noisy) CheckNoise(kOp, args);
  if (!args.also.empty()) {
    CheckDType(kOp, "also", args.also, DType::kF32);
    CheckShape(kOp, "also", args.also, args.out.shape);
    CheckContiguous(kOp, "also", args.also);
  }
  if (args.out.numel() == 0) return;
  LinearCombinationTable().Run(ctx, args);
}

void GatedAdd(Context& ctx, const GatedAddArgs& args) {
  constexpr std::string_view kOp = "gated_add";
  CheckRank(kOp, "x", args.x, 3);
  const Shape& s = args.x.shape;
  const auto check = [&](std::string_view name, ConstView value) {
    CheckDType(kOp, name, value, DType::kF32);
    CheckShape(kOp, name, value, s);
    CheckContiguous(kOp, name, value);
  };
  check("x", args.x);
  check("out", args.out);
  if (!args.residual.empty()) check("residual", args.residual);
  CheckDType(kOp, "gate", args.gate, DType::kF32);
  CheckRows(kOp, "gate", args.gate);
  Require(args.gate.shape == Shape({s[2]}) || args.gate.shape == Shape({s[0], s[2]}),
          ErrorKind::kShape, "{}: gate must be [{}] or [{}, {}], got {}", kOp, s[2], s[0], s[2],
          args.gate.shape);
  if (args.out.numel() == 0) return;
  GatedAddTable().Run(ctx, args);
}

const OpTable<GatedAddArgs>& GatedAddTable() {
  static const OpTable<GatedAddArgs> kTable(
      "gated_add", CostOfGatedAdd,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::GatedAdd},
          GESSO_CUDA_OP(cuda::WhyNotGatedAdd, cuda::GatedAdd),
          {"ref", Device::kCpu, AcceptsAll, ref::GatedAdd},
      });
  return kTable;
}

const OpTable<LinearCombinationArgs>& LinearCombinationTable() {
  static const OpTable<LinearCombinationArgs> kTable(
      "elementwise", CostOfLinearCombination,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::LinearCombination},
          GESSO_CUDA_OP(cuda::WhyNotLinearCombination, cuda::LinearCombination),
          {"ref", Device::kCpu, AcceptsAll, ref::LinearCombination},
      });
  return kTable;
}

}  // namespace gesso
