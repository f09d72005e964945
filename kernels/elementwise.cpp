#include "kernels/elementwise.h"

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/highway.h"
#include "kernels/ref/elementwise.h"

namespace gesso {

namespace {

OpCost CostOfLinearCombination(const LinearCombinationArgs& args) {
  const double elements = static_cast<double>(args.out.numel());
  const double terms = static_cast<double>(args.terms.size());
  return {2 * terms * elements, (terms + 1) * elements * sizeof(float)};
}

}  // namespace

void LinearCombination(Context& ctx, const LinearCombinationArgs& args) {
  constexpr std::string_view kOp = "elementwise";
  Require(!args.terms.empty() && args.terms.size() <= 8, ErrorKind::kShape,
          "{}: {} terms; there must be 1 to 8", kOp, args.terms.size());
  CheckDType(kOp, "out", args.out, DType::kF32);
  CheckContiguous(kOp, "out", args.out);
  for (size_t i = 0; i < args.terms.size(); ++i) {
    const std::string name = fmt::format("term {}", i);
    CheckDType(kOp, name, args.terms[i].x, DType::kF32);
    CheckShape(kOp, name, args.terms[i].x, args.out.shape);
    CheckContiguous(kOp, name, args.terms[i].x);
  }
  if (args.out.numel() == 0) return;
  LinearCombinationTable().Run(ctx, args);
}

const OpTable<LinearCombinationArgs>& LinearCombinationTable() {
  static const OpTable<LinearCombinationArgs> kTable(
      "elementwise", CostOfLinearCombination,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::LinearCombination},
          {"ref", Device::kCpu, AcceptsAll, ref::LinearCombination},
      });
  return kTable;
}

}  // namespace gesso
