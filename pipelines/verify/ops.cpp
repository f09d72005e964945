// Recomputes the cases of single ops.
#include <algorithm>
#include <cmath>

#include "kernels/attention.h"
#include "kernels/sample.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

// [B, H, Y, X, D] as the case stores it, seen as the op's [B, Y, X, H, D], in the case's dtype.
ConstView TokensFirst(const Tensor& heads_first) {
  Require(heads_first.shape().rank() == 5, ErrorKind::kShape, "expected [B, H, Y, X, D], got {}",
          heads_first.shape().ToString());
  return heads_first.view().Permute({0, 2, 3, 1, 4});
}

// Entropy in nats of the softmax of a row; dropped entries are minus infinity.
double EntropyOf(const float* logits, int64_t count) {
  const double largest = *std::max_element(logits, logits + count);
  double total = 0;
  double weighted = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double logit = static_cast<double>(logits[i]) - largest;
    if (!std::isfinite(logit)) continue;
    total += std::exp(logit);
    weighted += logit * std::exp(logit);
  }
  return std::log(total) - weighted / total;
}

}  // namespace

void VerifySampleTopKTopP(Context& ctx, ParityCase& parity_case) {
  Tensor logits = Cast(parity_case.At("in/logits"), DType::kF32);
  const Tensor uniforms = Cast(parity_case.At("in/uniforms"), DType::kF64);
  Require(logits.shape().rank() == 3, ErrorKind::kShape, "in/logits: expected [B, l, V], got {}",
          logits.shape());
  const Shape shape = {logits.shape()[0], logits.shape()[1]};
  const int64_t rows = shape.numel();
  const int64_t count = logits.shape()[2];
  Require(uniforms.shape().numel() == rows, ErrorKind::kShape, "in/uniforms: {} for {} tokens",
          uniforms.shape(), rows);
  Tensor tokens(shape, DType::kI32);
  SampleTokens(ctx, {.logits = logits.mutable_view().Reshape({rows, count}),
                     .top_k = Get<int64_t>(parity_case.config(), "top_k"),
                     .top_p = Get<double>(parity_case.config(), "top_p"),
                     .uniforms = {uniforms.Data<double>(), static_cast<size_t>(rows)},
                     .tokens = tokens.mutable_view().Reshape({rows})});
  parity_case.Compare("out/tokens", tokens);
  Tensor kept(shape, DType::kI32);
  Tensor entropy(shape, DType::kF32);
  for (int64_t row = 0; row < rows; ++row) {
    const float* left = logits.Data<float>() + row * count;
    kept.MutableData<int32_t>()[row] = static_cast<int32_t>(
        std::count_if(left, left + count, [](float logit) { return std::isfinite(logit); }));
    entropy.MutableData<float>()[row] = static_cast<float>(EntropyOf(left, count));
  }
  parity_case.Compare("out/num_kept", kept);
  parity_case.Compare("out/entropy", entropy);
}

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
