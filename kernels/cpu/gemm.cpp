#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <array>

#include "kernels/core/parallel.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/gemm_digits.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "kernels/cpu/codes-inl.h"
#include "kernels/cpu/float8-inl.h"
#include "kernels/cpu/gemm_job-inl.h"

// The product is cut into tiles of kMaxRows x kWidth sums that stay in registers while k runs from
// 0 to K: every output is one chain of fused multiply-adds in the order of k, so its bits depend
// neither on the tile it falls into (the batch size) nor on threads nor on the CPU's vectors.
//
// Why not oneDNN: on the shapes of HDiT at 256 pixels (gesso_bench_ops, one Sapphire Rapids core,
// medians) its 2.6.3 gives 83-90 GFLOP/s under AVX2 (matmul, inner product and packed sgemm are the
// same jit kernel; its 1x1 convolution is within 3% of them) and 163-171 under AVX-512 (brgemm);
// here it is 79-89 and 160-168 with epilogue, residual and gating included, which oneDNN's gated
// product would have to store and read again. Its own 2048 x 2048 product: 84 and 157.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int kVectors = 2;
constexpr int64_t kWidth = kVectors * kLanes;
// Sums in registers: 12 of the 16 that AVX2 has, 28 of AVX-512's 32.
constexpr int kMaxRows = kLanes == 16 ? 14 : 6;

// sums[i, j] = init[i, j] + sum_k x[i, k] * panels[j, k] for kPanels panels from `panel` on. `init`
// may be `sums`.
template <int kRows, int kPanels>
void Tile(Rows<const float> x, const float* HWY_RESTRICT panel, int64_t depth,
          Rows<const float> init, Rows<float> sums) {
  constexpr int kColumns = kPanels * kVectors;
  constexpr int64_t kLine = 16;              // floats in a line of the cache
  constexpr int64_t kPrefetch = 8 * kWidth;  // hides the L2's latency while a panel comes from it
  const F32 d;
  VecF sum[kRows][kColumns];
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      sum[i][j] = hn::LoadU(d, init.data + i * init.stride + j * kLanes);
    }
    // Here by the time that the sums are done.
    GESSO_UNROLL for (int64_t j = 0; j < kPanels * kWidth; j += kLine) {
      hwy::Prefetch(sums.data + i * sums.stride + j);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    VecF weight[kColumns];
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      const float* from =
          panel + (j / kVectors) * depth * kWidth + k * kWidth + (j % kVectors) * kLanes;
      weight[j] = hn::Load(d, from);
      if (j % kVectors * kLanes % kLine == 0) hwy::Prefetch(from + kPrefetch);
    }
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      const VecF value = hn::Set(d, x.data[i * x.stride + k]);
      GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
        sum[i][j] = hn::MulAdd(value, weight[j], sum[i][j]);
      }
    }
  }
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      hn::StoreU(sum[i][j], d, sums.data + i * sums.stride + j * kLanes);
    }
  }
}

using TileFunction = void (*)(Rows<const float>, const float*, int64_t, Rows<const float>,
                              Rows<float>);

template <size_t... kIndex>
constexpr std::array<TileFunction, sizeof...(kIndex)> TilesOfOnePanel(
    std::index_sequence<kIndex...>) {
  return {Tile<static_cast<int>(kIndex) + 1, 1>...};
}

// The same for `rows` <= kMaxRows rows and at most kChunk + 1 panels. One or two rows take several
// panels at once: a single panel's sums would wait for each other.
void Multiply(int64_t rows, Rows<const float> x, PanelRun<float> weights, Rows<const float> init,
              Rows<float> sums) {
  static constexpr auto kTiles =
      TilesOfOnePanel(std::make_index_sequence<static_cast<size_t>(kMaxRows)>());
  const TileFunction wide = rows == 1 ? Tile<1, 4> : Tile<2, 2>;
  const int64_t wide_panels = rows == 1 ? 4 : rows == 2 ? 2 : weights.count + 1;
  for (int64_t p = 0; p < weights.count;) {
    const bool use_wide = p + wide_panels <= weights.count;
    const TileFunction tile = use_wide ? wide : kTiles[static_cast<size_t>(rows - 1)];
    tile(x, weights.first + p * weights.depth * kWidth, weights.depth, init.At(0, p * kWidth),
         sums.At(0, p * kWidth));
    p += use_wide ? wide_panels : 1;
  }
}

// Rows begin..end-1 of x, which is bf16, widened into this thread's scratch, which nothing else
// here uses.
Rows<const float> Widened(const Job& job, int64_t begin, int64_t end) {
  float* buffer = cpu::Scratch((end - begin) * job.depth).Take(0);
  for (int64_t row = begin; row < end; ++row) {
    const auto* from = static_cast<const BFloat16*>(job.x.data) + row * job.stride;
    float* to = buffer + (row - begin) * job.depth;
    int64_t k = 0;
    for (; k + kLanes <= job.depth; k += kLanes) Store(Load(from + k), to + k);
    if (k < job.depth) StorePart(LoadPart(from + k, job.depth - k), to + k, job.depth - k);
  }
  return {buffer, job.depth};
}

// The kernel of float32 products (gemm_job-inl.h).
struct F32Kernel : PlainPanels<float> {
  using Input = float;
  static constexpr int64_t kWidth = HWY_NAMESPACE::kWidth;
  static constexpr int64_t kMaxRows = HWY_NAMESPACE::kMaxRows;

  static int64_t PanelSize(int64_t depth) { return depth * kWidth; }

  static Rows<const float> RowsOf(const Job& job, int64_t begin, int64_t end) {
    if (job.x.dtype == DType::kF32) {
      return {static_cast<const float*>(job.x.data) + begin * job.stride, job.stride};
    }
    return Widened(job, begin, end);
  }

  static void Multiply(int64_t rows, Rows<const float> x, PanelRun<float> weights,
                       Rows<const float> init, Rows<float> sums) {
    HWY_NAMESPACE::Multiply(rows, x, weights, init, sums);
  }
};

// Weights in few bits, decoded to float32.
struct F32Codes : F32Kernel, DecodedPanels<F32Codes, float> {
  using Weight = float;
  using DecodedPanels<F32Codes, float>::kBlockBytes;
  using DecodedPanels<F32Codes, float>::PanelsAt;

  static void Decode(const cpu::LowBitPanels& panels, int64_t panel, float* to) {
    const uint8_t* codes = panels.Panel(panel) + panels.HeadBytes();
    const auto* scales = reinterpret_cast<const float*>(panels.Panel(panel));
    const I32 d;
    const hn::Rebind<int8_t, I32> d8;
    const hn::Rebind<uint8_t, I32> du8;
    const auto put_number = [&](VecF number, int64_t j, const float* scale) HWY_ATTR {
      hn::Store(hn::Mul(number, hn::Load(F32(), scale + j)), F32(), to + j);
    };
    const auto put = [&](const auto& code, int64_t j, const float* scale)
                         HWY_ATTR { put_number(hn::ConvertTo(F32(), code), j, scale); };
    for (int64_t k = 0; k < panels.padded; ++k, to += kWidth) {
      const float* const scale = scales + k / kLowBitGroup * kWidth;
      if (panels.type == LowBit::kQ8) {
        GESSO_UNROLL for (int64_t j = 0; j < kWidth; j += kLanes) {
          const auto* from = reinterpret_cast<const int8_t*>(codes) + j;
          put(hn::PromoteTo(d, hn::LoadU(d8, from)), j, scale);
        }
        codes += kWidth;
      } else if (IsFloat8(panels.type)) {
        GESSO_UNROLL for (int64_t j = 0; j < kWidth; j += kLanes) {
          put_number(LoadE4M3(codes + j), j, scale);
        }
        codes += kWidth;
      } else {  // two vectors: one in the low nibbles, one in the high
        const auto both = hn::PromoteTo(d, hn::LoadU(du8, codes));
        const auto eight = hn::Set(d, 8);
        put(hn::Sub(hn::And(both, hn::Set(d, 15)), eight), 0, scale);
        put(hn::Sub(hn::ShiftRight<4>(both), eight), kLanes, scale);
        codes += kWidth / 2;
      }
    }
  }
};

void F32LinearCodes(const LinearArgs& args) { RunLinear<F32Codes>(args); }
void F32LinearGluCodes(const LinearGluArgs& args) { RunLinearGlu<F32Codes>(args); }
void F32Linear(const LinearArgs& args) { RunLinear<F32Kernel>(args); }
void F32LinearGlu(const LinearGluArgs& args) { RunLinearGlu<F32Kernel>(args); }

int64_t PanelWidth() { return kWidth; }

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(F32Linear);
HWY_EXPORT(F32LinearGlu);
HWY_EXPORT(F32LinearCodes);
HWY_EXPORT(F32LinearGluCodes);
HWY_EXPORT(PanelWidth);

void F32Panels::Unpack(float* weight) const {
  const int64_t depth = values.shape()[1];
  const int64_t width = values.shape()[2];
  for (int64_t n = 0; n < rows; ++n) {
    const float* from = values.Data<float>() + n / width * depth * width + n % width;
    for (int64_t k = 0; k < depth; ++k) weight[n * depth + k] = from[k * width];
  }
}

int64_t F32PanelWidth() { return WhyNoVectors() ? 1 : HWY_DYNAMIC_DISPATCH(PanelWidth)(); }

DType ActivationDType(DType dtype) {
  return dtype == DType::kBF16 && GainsFromBF16() ? DType::kBF16 : DType::kF32;
}

PackedMatrix PackMatrix(ConstView weight, DType dtype, Factors factors) {
  if (ActivationDType(dtype) == DType::kBF16) return PackBF16(weight);
  const bool digits =
      dtype == DType::kF32 && factors == Factors::kSplit && TakesDigits(weight.shape[1]);
  return digits ? PackDigits(weight) : PackPanels(weight, dtype);
}

PackedMatrix PackPanels(ConstView weight, DType dtype) {
  const int64_t rows = weight.shape[0];
  const int64_t depth = weight.shape[1];
  const int64_t width = F32PanelWidth();
  const Tensor rounded = dtype == DType::kBF16 ? Cast(weight, DType::kBF16) : Tensor();
  const ConstView exact = rounded.empty() ? weight : rounded.view();
  const Tensor widened = exact.dtype == DType::kF32 ? Tensor() : Cast(exact, DType::kF32);
  const auto* const source = (widened.empty() ? exact : widened.view()).Data<float>();
  auto storage = std::make_shared<F32Panels>();
  storage->rows = rows;
  storage->values = Tensor({(rows + width - 1) / width, depth, width}, DType::kF32);
  float* values = storage->values.MutableData<float>();
  ParallelFor(storage->values.shape()[0], [&](int64_t panel) {
    const int64_t first = panel * width;
    const int64_t count = std::min(width, rows - first);
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = 0; j < count; ++j) {
        values[(panel * depth + k) * width + j] = source[(first + j) * depth + k];
      }
    }
  });
  return PackedMatrix(storage, rows, depth, DType::kF32);
}

namespace {

std::optional<std::string_view> WhyNotF32(const PackedMatrix& weight,
                                          PackedMatrix::Encoding encoding) {
  if (weight.encoding() != encoding) return "the weights are packed for other products";
  if (weight.dtype() != DType::kF32) return "the weights are packed in bfloat16";
  return WhyNoVectors();
}

}  // namespace

std::optional<std::string_view> WhyNotPanels(const PackedMatrix& weight) {
  return WhyNotF32(weight, PackedMatrix::Encoding::kFloats);
}

std::optional<std::string_view> WhyNotCodes(const PackedMatrix& weight) {
  return WhyNotF32(weight, PackedMatrix::Encoding::kCodes);
}

void Linear(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(F32Linear)(args); }

void LinearGlu(Context&, const LinearGluArgs& args) { HWY_DYNAMIC_DISPATCH(F32LinearGlu)(args); }

void LinearCodes(Context&, const LinearArgs& args) {
  HWY_DYNAMIC_DISPATCH(F32LinearCodes)(WithRoundedInputs(args));
}

void LinearGluCodes(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(F32LinearGluCodes)(WithRoundedInputs(args));
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
