#include "kernels/cpu/gemm_bf16.h"

#include <array>
#include <cstring>

#include "kernels/core/parallel.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/bf16_panels.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_bf16.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/codes-inl.h"
#include "kernels/cpu/float8-inl.h"
#include "kernels/cpu/gemm_job-inl.h"
#include "kernels/cpu/split-inl.h"
#include "kernels/cpu/tiles_bf16-inl.h"

// Sums are float32 chains in the order of k, two products a link, so that the bits of an output
// depend neither on its tile nor on threads. The two kernels may differ in the last bit.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3

// Lines so far apart fall into one set of the cache and drive each other out.
constexpr int64_t kAliasing = 2048;

// Rows of this thread's scratch, which nothing else here uses.
Rows<BFloat16> ScratchRows(int64_t count, int64_t width) {
  const int64_t stride = width % kAliasing == 0 ? width + cpu::kPairDepth : width;
  return {reinterpret_cast<BFloat16*>(cpu::Scratch(count * stride / 2).Take(0)), stride};
}

// Rows begin..end-1 of the job's x, in bf16, with zeros up to the padded depth: where they lie if
// they can be read so, else in scratch.
Rows<const BFloat16> PairRows(const Job& job, int64_t begin, int64_t end) {
  const int64_t padded = cpu::PaddedDepth(job.depth);
  const BFloat16* from = static_cast<const BFloat16*>(job.x.data) + begin * job.stride;
  if (padded == job.depth && job.stride % kAliasing != 0) return {from, job.stride};
  const Rows<BFloat16> rows = ScratchRows(end - begin, padded);
  for (int64_t row = begin; row < end; ++row, from += job.stride) {
    BFloat16* const to = rows.At(row - begin, 0).data;
    std::fill(std::copy_n(from, job.depth, to), to + padded, BFloat16());
  }
  return {rows.data, rows.stride};
}

// What the two kernels (gemm_job-inl.h) have in common.
struct PairKernel : PlainPanels<BFloat16> {
  using Input = BFloat16;
  static constexpr int64_t kWidth = cpu::kPairWidth;

  static int64_t PanelSize(int64_t depth) { return cpu::PaddedDepth(depth) * kWidth; }
  static Rows<const BFloat16> RowsOf(const Job& job, int64_t begin, int64_t end) {
    return PairRows(job, begin, end);
  }
};

struct AmxKernel : PairKernel {
  static constexpr int64_t kMaxRows = kTileRows;

  static void Multiply(int64_t rows, Rows<const BFloat16> x, PanelRun<BFloat16> weights,
                       Rows<const float> init, Rows<float> sums) {
    MultiplyTiles(rows, x, weights, init, sums);
  }
};

// One panel times kRows rows of x, sums in registers.
template <int kRows>
GESSO_AVX512_BF16 void MultiplyRows(Rows<const BFloat16> x, const BFloat16* panel, int64_t depth,
                                    Rows<const float> init, Rows<float> sums) {
  __m512 sum[kRows][2];
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    sum[i][0] = _mm512_loadu_ps(init.data + i * init.stride);
    sum[i][1] = _mm512_loadu_ps(init.data + i * init.stride + kTileColumns);
  }
  for (int64_t k = 0; k < depth; k += 2, panel += 2 * cpu::kPairWidth) {
    const auto left = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel));
    const auto right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + cpu::kPairWidth));
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      int32_t pair;
      std::memcpy(&pair, x.data + i * x.stride + k, sizeof(pair));
      const auto value = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
      sum[i][0] = _mm512_dpbf16_ps(sum[i][0], value, left);
      sum[i][1] = _mm512_dpbf16_ps(sum[i][1], value, right);
    }
  }
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    _mm512_storeu_ps(sums.data + i * sums.stride, sum[i][0]);
    _mm512_storeu_ps(sums.data + i * sums.stride + kTileColumns, sum[i][1]);
  }
}

using RowsFunction = void (*)(Rows<const BFloat16>, const BFloat16*, int64_t, Rows<const float>,
                              Rows<float>);

template <size_t... kIndex>
constexpr std::array<RowsFunction, sizeof...(kIndex)> AllRows(std::index_sequence<kIndex...>) {
  return {MultiplyRows<static_cast<int>(kIndex) + 1>...};
}

struct Avx512BF16Kernel : PairKernel {
  static constexpr int64_t kMaxRows = 14;

  static void Multiply(int64_t rows, Rows<const BFloat16> x, PanelRun<BFloat16> weights,
                       Rows<const float> init, Rows<float> sums) {
    static constexpr auto kRows = AllRows(std::make_index_sequence<kMaxRows>());
    const int64_t padded = cpu::PaddedDepth(weights.depth);
    const BFloat16* panel = weights.first;
    for (int64_t p = 0; p < weights.count; ++p, panel += PanelSize(weights.depth)) {
      kRows[static_cast<size_t>(rows - 1)](x, panel, padded, init.At(0, p * kWidth),
                                           sums.At(0, p * kWidth));
    }
  }
};

// Inputs in float32, each as the sum of two bfloat16 numbers (split-inl.h): a row has the first
// parts of its inputs, then the second ones.
template <class Kernel>
struct SplitInputs : Kernel {
  static constexpr int64_t kBlockBytes = Kernel::kBlockBytes / kParts;  // counted of one part

  static Rows<const BFloat16> RowsOf(const Job& job, int64_t begin, int64_t end) {
    const int64_t padded = cpu::PaddedDepth(job.depth);
    const Rows<BFloat16> rows = ScratchRows(end - begin, kParts * padded);
    const float* from = static_cast<const float*>(job.x.data) + begin * job.stride;
    for (int64_t row = begin; row < end; ++row, from += job.stride) {
      StoreParts(from, job.depth, rows.At(row - begin, 0).data, padded);
    }
    return {rows.data, rows.stride};
  }

  static void Multiply(int64_t rows, Rows<const BFloat16> x, PanelRun<BFloat16> weights,
                       Rows<const float> init, Rows<float> sums) {
    Kernel::Multiply(rows, x, weights, init, sums);
    const Rows<const BFloat16> second = x.At(0, cpu::PaddedDepth(weights.depth));
    Kernel::Multiply(rows, second, PanelRun{weights.first, weights.count, weights.depth, false},
                     {sums.data, sums.stride}, sums);
  }

 private:
  static void StoreParts(const float* from, int64_t depth, BFloat16* to, int64_t padded) {
    const auto split = [&](VecF value, int64_t k) HWY_ATTR {
      const VecF first = FirstParts(value);
      Store(first, to + k);
      Store(hn::Sub(value, first), to + padded + k);
    };
    int64_t k = 0;
    for (; k + kLanes <= depth; k += kLanes) split(Load(from + k), k);
    for (; k < padded; k += kLanes) {
      split(k < depth ? LoadPart(from + k, depth - k) : hn::Zero(F32()), k);
    }
  }
};

// Weights in few bits, decoded to bfloat16.
template <class Kernel>
struct PairCodes : Kernel, DecodedPanels<PairCodes<Kernel>, BFloat16> {
  using Weight = BFloat16;
  using DecodedPanels<PairCodes<Kernel>, BFloat16>::kBlockBytes;
  using DecodedPanels<PairCodes<Kernel>, BFloat16>::PanelsAt;

  GESSO_AVX512_BF16 static void Decode(const cpu::LowBitPanels& panels, int64_t panel,
                                       BFloat16* to) {
    constexpr int64_t kRow = 2 * cpu::kPairWidth;
    const uint8_t* codes = panels.Panel(panel) + panels.HeadBytes();
    const auto* scales = reinterpret_cast<const float*>(panels.Panel(panel));
    const hn::Rebind<uint8_t, I32> d8;
    const auto put_numbers = [&](VecF low, VecF high, int quarter,
                                 const float* scale) GESSO_AVX512_BF16 {
      const VecF left = hn::Mul(low, Load(scale + quarter * kLanes));
      const VecF right = hn::Mul(high, Load(scale + (quarter + 1) * kLanes));
      _mm512_storeu_si512(to + quarter * kLanes,
                          reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(right.raw, left.raw)));
    };
    const auto put = [&](auto low, auto high, int quarter, const float* scale) GESSO_AVX512_BF16 {
      put_numbers(hn::ConvertTo(F32(), low), hn::ConvertTo(F32(), high), quarter, scale);
    };
    const auto eight = hn::Set(I32(), 8);
    const auto mask = hn::Set(I32(), 15);
    for (int64_t k = 0; k < panels.padded; scales += cpu::kPairWidth) {
      alignas(64) float scale[kRow];
      for (int64_t i = 0; i < kRow; ++i) scale[i] = scales[i / 2];
      const int64_t end = std::min(k + kLowBitGroup, panels.padded);
      for (; k < end; k += 2, to += kRow) {
        if (panels.type == LowBit::kQ8) {
          const auto load = [&](int quarter) GESSO_AVX512_BF16 {
            const auto bytes = hn::LoadU(d8, codes + quarter * kLanes);
            return hn::PromoteTo(I32(), hn::BitCast(hn::Rebind<int8_t, I32>(), bytes));
          };
          put(load(0), load(1), 0, scale);
          put(load(2), load(3), 2, scale);
          codes += kRow;
        } else if (IsFloat8(panels.type)) {
          const auto load = [&](int quarter)
                                GESSO_AVX512_BF16 { return LoadE4M3(codes + quarter * kLanes); };
          put_numbers(load(0), load(1), 0, scale);
          put_numbers(load(2), load(3), 2, scale);
          codes += kRow;
        } else {
          const auto first = hn::PromoteTo(I32(), hn::LoadU(d8, codes));
          const auto second = hn::PromoteTo(I32(), hn::LoadU(d8, codes + kLanes));
          put(hn::Sub(hn::And(first, mask), eight), hn::Sub(hn::And(second, mask), eight), 0,
              scale);
          put(hn::Sub(hn::ShiftRight<4>(first), eight), hn::Sub(hn::ShiftRight<4>(second), eight),
              2, scale);
          codes += kRow / 2;
        }
      }
    }
  }
};

template <class Kernel>
void RunLinearPairs(const LinearArgs& args) {
  if (args.x.dtype == DType::kF32) return RunLinear<SplitInputs<Kernel>>(args);
  RunLinear<Kernel>(args);
}

template <class Kernel>
void RunLinearGluPairs(const LinearGluArgs& args) {
  if (args.x.dtype == DType::kF32) return RunLinearGlu<SplitInputs<Kernel>>(args);
  RunLinearGlu<Kernel>(args);
}

void RunLinearAmx(const LinearArgs& args) { RunLinearPairs<AmxKernel>(args); }
void RunLinearGluAmx(const LinearGluArgs& args) { RunLinearGluPairs<AmxKernel>(args); }
void RunLinearAvx512BF16(const LinearArgs& args) { RunLinearPairs<Avx512BF16Kernel>(args); }
void RunLinearGluAvx512BF16(const LinearGluArgs& args) {
  RunLinearGluPairs<Avx512BF16Kernel>(args);
}
void RunCodesAmx(const LinearArgs& args) { RunLinearPairs<PairCodes<AmxKernel>>(args); }
void RunGluCodesAmx(const LinearGluArgs& args) { RunLinearGluPairs<PairCodes<AmxKernel>>(args); }
void RunCodesAvx512BF16(const LinearArgs& args) {
  RunLinearPairs<PairCodes<Avx512BF16Kernel>>(args);
}
void RunGluCodesAvx512BF16(const LinearGluArgs& args) {
  RunLinearGluPairs<PairCodes<Avx512BF16Kernel>>(args);
}

#else  // CPUs without AVX-512 are refused below

void RunLinearAmx(const LinearArgs&) { CHECK(false); }
void RunLinearGluAmx(const LinearGluArgs&) { CHECK(false); }
void RunLinearAvx512BF16(const LinearArgs&) { CHECK(false); }
void RunLinearGluAvx512BF16(const LinearGluArgs&) { CHECK(false); }
void RunCodesAmx(const LinearArgs&) { CHECK(false); }
void RunGluCodesAmx(const LinearGluArgs&) { CHECK(false); }
void RunCodesAvx512BF16(const LinearArgs&) { CHECK(false); }
void RunGluCodesAvx512BF16(const LinearGluArgs&) { CHECK(false); }

#endif

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RunLinearAmx);
HWY_EXPORT(RunLinearGluAmx);
HWY_EXPORT(RunLinearAvx512BF16);
HWY_EXPORT(RunLinearGluAvx512BF16);
HWY_EXPORT(RunCodesAmx);
HWY_EXPORT(RunGluCodesAmx);
HWY_EXPORT(RunCodesAvx512BF16);
HWY_EXPORT(RunGluCodesAvx512BF16);

bool GainsFromBF16() { return HasAmxBF16() || (HasAvx512BF16() && !IsIntel()); }

namespace {

using Encoding = PackedMatrix::Encoding;

std::optional<std::string_view> WhyNotPairs(const PackedMatrix& weight, Encoding encoding,
                                            bool has_instructions) {
  if (weight.encoding() != encoding) return "the weights are packed for other products";
  if (weight.dtype() != DType::kBF16) return "the weights are packed in float32";
  if (!has_instructions) return "this CPU or operating system lacks the instructions";
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> WhyNotAmx(const PackedMatrix& weight) {
  return WhyNotPairs(weight, Encoding::kFloats, HasAmxBF16());
}

std::optional<std::string_view> WhyNotAvx512BF16(const PackedMatrix& weight) {
  return WhyNotPairs(weight, Encoding::kFloats, HasAvx512BF16());
}

std::optional<std::string_view> WhyNotCodesAmx(const PackedMatrix& weight) {
  return WhyNotPairs(weight, Encoding::kCodes, HasAmxBF16() && HasAvx512BF16());
}

std::optional<std::string_view> WhyNotCodesAvx512BF16(const PackedMatrix& weight) {
  return WhyNotPairs(weight, Encoding::kCodes, HasAvx512BF16());
}

void LinearAmx(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(RunLinearAmx)(args); }
void LinearGluAmx(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunLinearGluAmx)(args);
}
void LinearAvx512BF16(Context&, const LinearArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunLinearAvx512BF16)(args);
}
void LinearGluAvx512BF16(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunLinearGluAvx512BF16)(args);
}

void LinearCodesAmx(Context&, const LinearArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunCodesAmx)(WithRoundedInputs(args));
}
void LinearGluCodesAmx(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunGluCodesAmx)(WithRoundedInputs(args));
}
void LinearCodesAvx512BF16(Context&, const LinearArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunCodesAvx512BF16)(WithRoundedInputs(args));
}
void LinearGluCodesAvx512BF16(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunGluCodesAvx512BF16)(WithRoundedInputs(args));
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
