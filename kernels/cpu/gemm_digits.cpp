#include "kernels/cpu/gemm_digits.h"

#include "kernels/core/parallel.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/digits.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_digits.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/gemm_job-inl.h"

// Both factors are rows of digits with a scale each (digits.h), so a sum of products is
//   scale of x * scale of w * (s0 + s1 / B + s2 / B^2),   B = kDigitBase
//   s0 = x0 w0,  s1 = x0 w1 + x1 w0,  s2 = x0 w2 + x1 w1 + x2 w0
// with sums over the inputs that are exact in 32 bits. The products of digits that are left out add
// up to 2^-23 of (largest of x * largest of w) a product, in the mean (RMS) 2^-25. Ozaki et al.
// 2012, "Error-free transformations of matrix multiplication by using fast routines of matrix
// multiplication", with digits of one size.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3

constexpr int64_t kDigitRows = 16;  // of a tile of x
constexpr int64_t kDigitColumns = cpu::kInt8Order.width;
constexpr int64_t kDigitDepth = cpu::kInt8Order.depth;
constexpr int64_t kInputStep = cpu::kDigits * kDigitDepth;  // bytes of a row's digits

// Bytes from a row of x to the next: its digits [steps, kDigits, kDigitDepth], then its scale. An
// odd number of lines: rows do not drive each other out of the cache.
int64_t DigitStride(int64_t depth) {
  constexpr int64_t kLine = 64;
  return ((cpu::DigitSteps(depth) * kInputStep / kLine + 1) | 1) * kLine;
}

// Where the scale of a row lies that takes `stride` bytes.
template <class Byte>
auto* ScaleOf(Byte* row, int64_t stride) {
  using Number = std::conditional_t<std::is_const_v<Byte>, const float, float>;
  return reinterpret_cast<Number*>(row + stride - sizeof(float));
}

// A row's scale; NaN where a number is infinite or NaN.
template <class T>
float RowScale(const T* x, int64_t depth) {
  VecF largest = hn::Set(F32(), cpu::kSmallestRow);
  VecF nothing = hn::Zero(F32());  // NaN as soon as a number is not finite
  const auto see = [&](VecF value) HWY_ATTR {
    largest = hn::Max(hn::Abs(value), largest);
    nothing = hn::MulAdd(value, hn::Zero(F32()), nothing);
  };
  int64_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) see(Load(x + k));
  if (k < depth) see(LoadPart(x + k, depth - k));
  return hn::GetLane(hn::MaxOfLanes(F32(), largest)) / cpu::kLargestDigit +
         hn::GetLane(hn::SumOfLanes(F32(), nothing));
}

// Writes a row of x with its digits to `to`; beyond `depth` they are 0.
template <class T>
void DigitRow(const T* x, int64_t depth, int64_t stride, uint8_t* to) {
  const float scale = RowScale(x, depth);
  *ScaleOf(to, stride) = scale;
  const VecF inverse = hn::Set(F32(), scale > 0 ? 1 / scale : 0);
  const VecF most = hn::Set(F32(), cpu::kLargestDigit);
  const VecF base = hn::Set(F32(), cpu::kDigitBase);
  const VecF whole = hn::Set(F32(), 0x1.8p23f);
  const hn::Rebind<uint8_t, U32> d8;
  const auto put = [&](VecF value, int64_t k) HWY_ATTR {
    uint8_t* at = to + k / kDigitDepth * kInputStep + k % kDigitDepth;
    value = hn::Mul(value, inverse);
    value = hn::Max(hn::Min(value, most), hn::Neg(most));
    // A number below 2^22 plus `whole` is rounded, and its last byte is the digit.
    for (int64_t d = 0; d < cpu::kDigits; ++d, at += kDigitDepth) {
      const VecF shifted = hn::Add(value, whole);
      hn::StoreU(hn::TruncateTo(d8, hn::BitCast(U32(), shifted)), d8, at);
      value = hn::Mul(hn::Sub(value, hn::Sub(shifted, whole)), base);
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) put(Load(x + k), k);
  if (k < depth) {
    put(LoadPart(x + k, depth - k), k);
    k += kLanes;
  }
  for (; k < cpu::DigitSteps(depth) * kDigitDepth; k += kLanes) put(hn::Zero(F32()), k);
}

// Rows begin..end-1 of the job's x.
void DigitRows(const Job& job, int64_t begin, int64_t end, uint8_t* to) {
  const int64_t stride = DigitStride(job.depth);
  for (int64_t row = begin; row < end; ++row, to += stride) {
    if (job.x.dtype == DType::kF32) {
      DigitRow(static_cast<const float*>(job.x.data) + row * job.stride, job.depth, stride, to);
    } else {
      DigitRow(static_cast<const BFloat16*>(job.x.data) + row * job.stride, job.depth, stride, to);
    }
  }
}

// The digits' sums of up to kDigitRows rows of x and a panel: sums [kDigits, kDigitRows,
// kDigitColumns]. No tile is summed into twice within four instructions, which is how long it
// takes.
GESSO_AMX_INT8 void MultiplyDigits(Rows<const uint8_t> x, const uint8_t* digits, int64_t steps,
                                   bool fresh, int32_t* sums) {
  constexpr int64_t kRow = kDigitColumns * cpu::kInt8Order.run;
  constexpr int64_t kRight = kRow / 2;  // the second sixteen outputs
  GESSO_BARRIER();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  const uint8_t* from = x.data;
  for (int64_t step = 0; step < steps; ++step, from += kInputStep, digits += cpu::kDigitStep) {
    if (fresh) cpu::PrefetchWeights<cpu::kDigitStep>(digits);
    _tile_loadd(6, from, x.stride);
    _tile_loadd(7, digits, kRow);
    _tile_dpbssd(0, 6, 7);
    _tile_loadd(7, digits + kRight, kRow);
    _tile_dpbssd(1, 6, 7);
    _tile_loadd(7, digits + 2 * cpu::kDigitPlane, kRow);
    _tile_dpbssd(4, 6, 7);
    _tile_loadd(7, digits + 2 * cpu::kDigitPlane + kRight, kRow);
    _tile_dpbssd(5, 6, 7);
    _tile_loadd(7, digits + cpu::kDigitPlane, kRow);
    _tile_dpbssd(2, 6, 7);
    _tile_loadd(7, digits + cpu::kDigitPlane + kRight, kRow);
    _tile_dpbssd(3, 6, 7);
    _tile_loadd(6, from + kDigitDepth, x.stride);
    _tile_loadd(7, digits + cpu::kDigitPlane, kRow);
    _tile_dpbssd(4, 6, 7);
    _tile_loadd(7, digits + cpu::kDigitPlane + kRight, kRow);
    _tile_dpbssd(5, 6, 7);
    _tile_loadd(7, digits, kRow);
    _tile_dpbssd(2, 6, 7);
    _tile_loadd(7, digits + kRight, kRow);
    _tile_dpbssd(3, 6, 7);
    _tile_loadd(6, from + 2 * kDigitDepth, x.stride);
    _tile_loadd(7, digits, kRow);
    _tile_dpbssd(4, 6, 7);
    _tile_loadd(7, digits + kRight, kRow);
    _tile_dpbssd(5, 6, 7);
  }
  constexpr int64_t kSums = kDigitRows * kDigitColumns;
  constexpr int64_t kBytes = kDigitColumns * 4;
  _tile_stored(0, sums, kBytes);
  _tile_stored(1, sums + kDigitColumns / 2, kBytes);
  _tile_stored(2, sums + kSums, kBytes);
  _tile_stored(3, sums + kSums + kDigitColumns / 2, kBytes);
  _tile_stored(4, sums + 2 * kSums, kBytes);
  _tile_stored(5, sums + 2 * kSums + kDigitColumns / 2, kBytes);
  GESSO_BARRIER();
}

// out = init + scale of x * scale of w * (s0 + s1 / B + s2 / B^2)
void JoinDigits(const int32_t* sums, int64_t rows, Rows<const uint8_t> x, const float* scales,
                Rows<const float> init, Rows<float> out) {
  constexpr int64_t kSums = kDigitRows * kDigitColumns;
  const VecF base = hn::Set(F32(), 1 / cpu::kDigitBase);
  for (int64_t i = 0; i < rows; ++i, sums += kDigitColumns) {
    const VecF row = hn::Set(F32(), *ScaleOf(x.At(i, 0).data, x.stride));
    GESSO_UNROLL for (int64_t j = 0; j < kDigitColumns; j += kLanes) {
      const auto sum = [&](int64_t d) HWY_ATTR {
        return hn::ConvertTo(F32(), hn::LoadU(I32(), sums + d * kSums + j));
      };
      const VecF rest = hn::MulAdd(sum(2), base, sum(1));
      const VecF all = hn::MulAdd(rest, base, sum(0));
      const VecF scale = hn::Mul(row, Load(scales + j));
      Store(hn::MulAdd(all, scale, Load(init.At(i, j).data)), out.At(i, j).data);
    }
  }
}

cpu::TileConfig DigitConfig(int64_t rows) {
  cpu::TileConfig config;
  std::fill_n(config.rows.begin(), 7, static_cast<uint8_t>(rows));
  config.rows[7] = kDigitDepth / cpu::kInt8Order.run;
  std::fill_n(config.row_bytes.begin(), 8, uint16_t{64});
  return config;
}

// The kernel (gemm_job-inl.h).
struct DigitKernel : PlainPanels<uint8_t> {
  using Input = float;  // about as many bytes as the digits
  static constexpr int64_t kWidth = kDigitColumns;
  static constexpr int64_t kMaxRows = kDigitRows;

  static int64_t PanelSize(int64_t depth) { return cpu::DigitPanelBytes(depth); }

  // Few rows are read by many tasks: their digits are made once, in memory of the calling thread.
  static const void* Prepare(const Job& job) {
    constexpr int64_t kFewRows = 256;
    if (job.rows > kFewRows) return nullptr;
    const int64_t floats = job.rows * DigitStride(job.depth) / 4;
    auto* rows =
        reinterpret_cast<uint8_t*>(cpu::Scratch(floats, cpu::ScratchUse::kCodes).Take(floats));
    ParallelRange(job.rows, cpu::RowsATask(job.depth), [&](int64_t begin, int64_t end) {
      DigitRows(job, begin, end, rows + begin * DigitStride(job.depth));
    });
    return rows;
  }

  // In this thread's scratch, which nothing else here uses, if not prepared.
  static Rows<const uint8_t> RowsOf(const Job& job, int64_t begin, int64_t end) {
    const int64_t stride = DigitStride(job.depth);
    if (job.prepared != nullptr) {
      return {static_cast<const uint8_t*>(job.prepared) + begin * stride, stride};
    }
    auto* rows = reinterpret_cast<uint8_t*>(cpu::Scratch((end - begin) * stride / 4).Take(0));
    DigitRows(job, begin, end, rows);
    return {rows, stride};
  }

  GESSO_AMX_INT8 static void Multiply(int64_t rows, Rows<const uint8_t> x,
                                      PanelRun<uint8_t> weights, Rows<const float> init,
                                      Rows<float> out) {
    alignas(64) int32_t sums[cpu::kDigits * kDigitRows * kDigitColumns];
    const cpu::TileConfig config = DigitConfig(rows);
    _tile_loadconfig(&config);
    const uint8_t* panel = weights.first;
    for (int64_t p = 0; p < weights.count; ++p, panel += PanelSize(weights.depth)) {
      MultiplyDigits(x, panel + cpu::kDigitHead, cpu::DigitSteps(weights.depth), weights.fresh,
                     sums);
      JoinDigits(sums, rows, x, reinterpret_cast<const float*>(panel), init.At(0, p * kWidth),
                 out.At(0, p * kWidth));
    }
    // Registers in use would cost every switch between threads.
    _tile_release();
  }
};

void RunLinearDigits(const LinearArgs& args) { RunLinear<DigitKernel>(args); }
void RunLinearGluDigits(const LinearGluArgs& args) { RunLinearGlu<DigitKernel>(args); }

#else  // CPUs without AVX-512 are refused below

void RunLinearDigits(const LinearArgs&) { CHECK(false); }
void RunLinearGluDigits(const LinearGluArgs&) { CHECK(false); }

#endif

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RunLinearDigits);
HWY_EXPORT(RunLinearGluDigits);

bool TakesDigits(int64_t inputs) {
  return HasAmxInt8() && inputs <= kMostDigitInputs && !IsForcedElsewhere("linear", kDigitsName) &&
         !IsForcedElsewhere("linear_glu", kDigitsName);
}

std::optional<std::string_view> WhyNotDigits(const PackedMatrix& weight) {
  if (weight.encoding() != PackedMatrix::Encoding::kDigits) {
    return "the weights are packed for other products";
  }
  if (!HasAmxInt8()) return "this CPU or operating system lacks AMX";
  return std::nullopt;
}

void LinearDigits(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(RunLinearDigits)(args); }

void LinearGluDigits(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunLinearGluDigits)(args);
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
