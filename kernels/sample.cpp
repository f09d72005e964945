#include "kernels/sample.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/core/check.h"
#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/sample.h"
#include "kernels/cuda/sample.h"
#include "kernels/ref/sample.h"

namespace gesso {

namespace {

OpCost CostOfSampleTokens(const SampleTokensArgs& args) {
  // A look at every logit for the threshold, and an exponential of 20 operations at the worst.
  return {22 * static_cast<double>(args.logits.numel()),
          2 * static_cast<double>(args.logits.bytes())};
}

OpCost CostOfGumbelSoftmax(const GumbelSoftmaxArgs& args) {
  return {24 * static_cast<double>(args.logits.numel()),
          3 * static_cast<double>(args.logits.bytes())};
}

// The first row that has no finite maximum or NaN somewhere; the number of rows if there is none.
int64_t FirstBadRow(ConstView logits) {
  const int64_t count = logits.shape[1];
  std::atomic<int64_t> first = logits.shape[0];
  ParallelRange(logits.shape[0], cpu::RowsATask(count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* values = logits.Data<float>() + row * count;
      constexpr float kInfinity = std::numeric_limits<float>::infinity();
      bool any = false;
      bool bad = false;
      for (int64_t i = 0; i < count; ++i) {
        any |= values[i] > -kInfinity;
        bad |= !(values[i] < kInfinity);
      }
      if (any && !bad) continue;
      int64_t lowest = first;
      while (row < lowest && !first.compare_exchange_weak(lowest, row)) {
      }
    }
  });
  return first;
}

}  // namespace

void SampleTokens(Context& ctx, const SampleTokensArgs& args) {
  constexpr std::string_view kOp = "sample_tokens";
  CheckDType(kOp, "logits", args.logits, DType::kF32);
  CheckRank(kOp, "logits", args.logits, 2);
  CheckContiguous(kOp, "logits", args.logits);
  const int64_t rows = args.logits.shape[0];
  Require(args.logits.shape[1] >= 1, ErrorKind::kShape, "{}: logits {} offer nothing", kOp,
          args.logits.shape);
  CheckDType(kOp, "tokens", args.tokens, DType::kI32);
  CheckShape(kOp, "tokens", args.tokens, {rows});
  CheckContiguous(kOp, "tokens", args.tokens);
  Require(static_cast<int64_t>(args.uniforms.size()) == rows, ErrorKind::kShape,
          "{}: {} uniform numbers for {} rows", kOp, args.uniforms.size(), rows);
  Require(args.top_k >= 0 && args.top_p >= 0 && args.top_p <= 1, ErrorKind::kUsage,
          "{}: top_k {} must be 0 or more, top_p {} within 0..1", kOp, args.top_k, args.top_p);
  if (rows == 0) return;
  if (ctx.device != Device::kMeta &&
      SampleTokensTable().Choose(ctx.device, args).device == Device::kCpu) {
    const int64_t bad = FirstBadRow(args.logits);
    Require(bad == rows, ErrorKind::kFormat,
            "{}: the logits of row {} are not finite: what made them is broken", kOp, bad);
  }
  SampleTokensTable().Run(ctx, args);
}

void GumbelSoftmax(Context& ctx, const GumbelSoftmaxArgs& args) {
  constexpr std::string_view kOp = "gumbel_softmax";
  CheckDType(kOp, "logits", args.logits, DType::kF32);
  CheckDType(kOp, "gumbel", args.gumbel, DType::kF32);
  CheckDType(kOp, "weights", args.weights, DType::kF32);
  CheckRank(kOp, "logits", args.logits, 2);
  CheckShape(kOp, "gumbel", args.gumbel, args.logits.shape);
  CheckShape(kOp, "weights", args.weights, args.logits.shape);
  CheckContiguous(kOp, "logits", args.logits);
  CheckContiguous(kOp, "gumbel", args.gumbel);
  CheckContiguous(kOp, "weights", args.weights);
  Require(args.tau > 0, ErrorKind::kUsage, "{}: tau {} is not positive", kOp, args.tau);
  if (args.weights.numel() == 0) return;
  GumbelSoftmaxTable().Run(ctx, args);
}

const OpTable<SampleTokensArgs>& SampleTokensTable() {
  static const OpTable<SampleTokensArgs> kTable(
      "sample_tokens", CostOfSampleTokens,
      {
          {"select", Device::kCpu, AcceptsAll, cpu::SampleTokens},
          GESSO_CUDA_OP(cuda::WhyNotSampleTokens, cuda::SampleTokens),
          {"ref", Device::kCpu, AcceptsAll, ref::SampleTokens},
      });
  return kTable;
}

const OpTable<GumbelSoftmaxArgs>& GumbelSoftmaxTable() {
  static const OpTable<GumbelSoftmaxArgs> kTable(
      "gumbel_softmax", CostOfGumbelSoftmax,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::GumbelSoftmax},
          GESSO_CUDA_OP(cuda::WhyNotGumbelSoftmax, cuda::GumbelSoftmax),
          {"ref", Device::kCpu, AcceptsAll, ref::GumbelSoftmax},
      });
  return kTable;
}

}  // namespace gesso
