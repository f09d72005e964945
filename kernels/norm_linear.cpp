#include "kernels/norm_linear.h"

#include <algorithm>

#include "kernels/core/check.h"
#include "kernels/cuda/norm_linear.h"
#include "kernels/ref/norm_linear.h"

namespace gesso {

namespace {

// The ops of which it is made.
const OpTable<RmsNormArgs>& TableOf(const RmsNormArgs&) { return RmsNormTable(); }
const OpTable<LayerNormArgs>& TableOf(const LayerNormArgs&) { return LayerNormTable(); }
const OpTable<LinearArgs>& TableOf(const LinearArgs&) { return LinearTable(); }
const OpTable<LinearGluArgs>& TableOf(const LinearGluArgs&) { return LinearGluTable(); }

void Run(Context& ctx, const RmsNormArgs& args) { RmsNorm(ctx, args); }
void Run(Context& ctx, const LayerNormArgs& args) { LayerNorm(ctx, args); }
void Run(Context& ctx, const LinearArgs& args) { Linear(ctx, args); }
void Run(Context& ctx, const LinearGluArgs& args) { LinearGlu(ctx, args); }

OpCost CostOf(const NormLinearArgs& args) {
  const auto cost_of = [](const auto& part) { return TableOf(part).CostOf(part); };
  const OpCost norm = std::visit(cost_of, args.norm);
  const OpCost product = std::visit(cost_of, args.product);
  const auto between =
      static_cast<double>(std::visit([](const auto& part) { return part.out.bytes(); }, args.norm));
  return {norm.flops + product.flops, norm.bytes + product.bytes - 2 * between};
}

bool IsForced(const NormLinearArgs& args) {
  const auto is_forced = [](const auto& part) {
    return !ForcedImplementation(TableOf(part).op()).empty();
  };
  return std::visit(is_forced, args.norm) || std::visit(is_forced, args.product);
}

// Whether it is run as one op, of which a tap would not see what is in between.
bool IsOne(const Context& ctx, const NormLinearArgs& args) {
  if (ctx.tap != nullptr) return false;
  const OpTable<NormLinearArgs>& table = NormLinearTable();
  if (!ForcedImplementation(table.op()).empty()) return true;
  if (ctx.device == Device::kCpu || IsForced(args)) return false;
  return std::ranges::any_of(table.implementations(), [&](const auto& implementation) {
    return implementation.device == ctx.device && !implementation.why_not(args);
  });
}

}  // namespace

void Norm(Context& ctx, const NormArgs& args) {
  std::visit([&](const auto& norm) { Run(ctx, norm); }, args);
}

void Multiply(Context& ctx, const ProductArgs& args) {
  std::visit([&](const auto& product) { Run(ctx, product); }, args);
}

void NormLinear(Context& ctx, const NormLinearArgs& args) {
  const ConstView normed = std::visit([](const auto& norm) { return norm.out; }, args.norm);
  const ConstView x = std::visit([](const auto& product) { return product.x; }, args.product);
  Require(x.data == normed.data && x.dtype == normed.dtype && x.numel() == normed.numel() &&
              x.shape[-1] == normed.shape[-1] && x.IsContiguous(),
          ErrorKind::kShape, "norm_linear: the product's x {} {} is not what the norm gives, {} {}",
          NameOf(x.dtype), x.shape, NameOf(normed.dtype), normed.shape);
  const auto check = [](const auto& part) { CheckArgs(part); };
  std::visit(check, args.norm);
  std::visit(check, args.product);
  if (normed.numel() == 0) return;
  if (IsOne(ctx, args)) return NormLinearTable().Run(ctx, args);
  Norm(ctx, args.norm);
  Multiply(ctx, args.product);
}

const OpTable<NormLinearArgs>& NormLinearTable() {
  static const OpTable<NormLinearArgs> kTable(
      "norm_linear", CostOf,
      {
          GESSO_CUDA_OP(cuda::WhyNotNormLinear, cuda::NormLinear),
          {"ref", Device::kCpu, AcceptsAll, ref::NormLinear},
      });
  return kTable;
}

}  // namespace gesso
