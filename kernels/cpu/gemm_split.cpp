#include "kernels/cpu/gemm_split.h"

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_split.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/split-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3

// The kernel (gemm_job-inl.h).
struct SplitKernel : PlainPanels<BFloat16> {
  using Input = float;  // as many bytes as the two parts
  static constexpr int64_t kBlockBytes = 1 << 20;
  static constexpr int64_t kWidth = cpu::kPairWidth;
  static constexpr int64_t kMaxRows = kSplitRows;

  static int64_t PanelSize(int64_t depth) { return kParts * cpu::PaddedDepth(depth) * kWidth; }

  // In this thread's scratch, which nothing else here uses.
  static Rows<const BFloat16> RowsOf(const Job& job, int64_t begin, int64_t end) {
    const int64_t stride = SplitStride(job.depth);
    auto* buffer = reinterpret_cast<BFloat16*>(cpu::Scratch((end - begin) * stride / 2).Take(0));
    for (int64_t row = begin; row < end; ++row) {
      BFloat16* to = buffer + (row - begin) * stride;
      if (job.x.dtype == DType::kF32) {
        SplitRow(static_cast<const float*>(job.x.data) + row * job.stride, job.depth, to);
      } else {
        SplitRow(static_cast<const BFloat16*>(job.x.data) + row * job.stride, job.depth, to);
      }
    }
    return {buffer, stride};
  }

  static void Multiply(int64_t rows, Rows<const BFloat16> x, PanelRun<BFloat16> weights,
                       Rows<const float> init, Rows<float> sums) {
    constexpr int64_t kStart = 0;
    const Segments whole = {&kStart, 1, cpu::PaddedDepth(weights.depth)};
    SplitMultiply(rows, x, whole, weights, PanelSize(weights.depth), init, sums);
  }
};

void RunLinearSplit(const LinearArgs& args) { RunLinear<SplitKernel>(args); }
void RunLinearGluSplit(const LinearGluArgs& args) { RunLinearGlu<SplitKernel>(args); }

#else  // CPUs without AVX-512 are refused below

void RunLinearSplit(const LinearArgs&) { CHECK(false); }
void RunLinearGluSplit(const LinearGluArgs&) { CHECK(false); }

#endif

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RunLinearSplit);
HWY_EXPORT(RunLinearGluSplit);

namespace {

bool HasInstructions() { return HasAmxBF16() && HasAvx512BF16(); }

bool IsForcedElsewhere(std::string_view op) {
  const std::string_view forced = ForcedImplementation(op);
  return !forced.empty() && forced != kSplitName;
}

}  // namespace

bool SplitsFloats(std::initializer_list<std::string_view> ops) {
  return HasInstructions() && std::ranges::none_of(ops, IsForcedElsewhere);
}

std::optional<std::string_view> WhyNotSplit(const PackedMatrix& weight) {
  if (weight.encoding() != PackedMatrix::Encoding::kSplitFloats) {
    return "the weights are packed for other products";
  }
  if (!HasInstructions()) return "this CPU or operating system lacks the instructions";
  return std::nullopt;
}

void LinearSplit(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(RunLinearSplit)(args); }

void LinearGluSplit(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunLinearGluSplit)(args);
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
