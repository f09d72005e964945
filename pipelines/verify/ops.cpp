// Recomputes the cases of single ops.
#include "kernels/attention.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

// [B, H, Y, X, D] as the case stores it, seen as the op's [B, Y, X, H, D], in the case's dtype.
ConstView TokensFirst(const Tensor& heads_first) {
  Require(heads_first.shape().rank() == 5, ErrorKind::kShape, "expected [B, H, Y, X, D], got {}",
          heads_first.shape().ToString());
  return heads_first.view().Permute({0, 2, 3, 1, 4});
}

}  // namespace

void VerifyNeighborhoodAttention(Context& ctx, ParityCase& parity_case) {
  const DType dtype = parity_case.options().dtype;
  const Tensor q = Cast(TokensFirst(parity_case.At("in/q")), dtype);
  const Tensor k = Cast(TokensFirst(parity_case.At("in/k")), dtype);
  const Tensor v = Cast(TokensFirst(parity_case.At("in/v")), dtype);
  Arena::Scope scope(*ctx.arena);
  const View out = ctx.arena->Alloc(q.shape(), dtype);
  NeighborhoodAttention(ctx, {.q = q,
                              .k = k,
                              .v = v,
                              .kernel_size = Get<int64_t>(parity_case.config(), "kernel_size"),
                              .scale = Get<float>(parity_case.config(), "scale"),
                              .out = out});
  const Tensor heads_first = Cast(ConstView(out).Permute({0, 3, 1, 2, 4}), DType::kF32);
  parity_case.Compare("out/o", heads_first);
}

}  // namespace gesso
