#include "kernels/ref/norm_linear.h"

#include "kernels/ref/gemm.h"
#include "kernels/ref/norm.h"

namespace gesso::ref {

namespace {

void Run(Context& ctx, const RmsNormArgs& args) { ref::RmsNorm(ctx, args); }
void Run(Context& ctx, const LayerNormArgs& args) { ref::LayerNorm(ctx, args); }
void Run(Context& ctx, const LinearArgs& args) { ref::Linear(ctx, args); }
void Run(Context& ctx, const LinearGluArgs& args) { ref::LinearGlu(ctx, args); }

}  // namespace

// In between in float32, whatever the type of the norm's out.
void NormLinear(Context& ctx, const NormLinearArgs& args) {
  const auto product_of_norm = [&](auto norm, auto product) {
    Tensor normed(norm.out.shape, DType::kF32);
    norm.out = normed.mutable_view();
    Run(ctx, norm);
    product.x = normed;
    Run(ctx, product);
  };
  std::visit(product_of_norm, args.norm, args.product);
}

}  // namespace gesso::ref
