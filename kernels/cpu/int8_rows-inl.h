// Inputs of integer products: rows rounded to 8 bits, rotated before where the weights are.
// Included once a Highway target, before gemm_int8.cpp's kernels.
#if defined(GESSO_KERNELS_CPU_INT8_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_INT8_ROWS_INL_H_
#undef GESSO_KERNELS_CPU_INT8_ROWS_INL_H_
#else
#define GESSO_KERNELS_CPU_INT8_ROWS_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/codes-inl.h"
#include "kernels/cpu/gemm_job-inl.h"
#include "kernels/cpu/low_bit.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int64_t kPanel = cpu::kInt8Order.width;
constexpr int64_t kQuad = cpu::kInt8Order.run;
constexpr int64_t kRowBytes = kPanel * kQuad;  // of a panel, from quad of inputs to quad
constexpr int64_t kHead = 8 * kPanel;          // scales and sums before a panel's codes

int64_t Padded(int64_t depth) {
  return (depth + cpu::kInt8Order.depth - 1) / cpu::kInt8Order.depth * cpu::kInt8Order.depth;
}

// The codes of a row, as a kernel reads them.
enum class Codes {
  kSigned,    // i8
  kUnsigned,  // u8, 128 more
  kPairs,     // i16, of each four inputs 0, 2, 1, 3
};

// Bytes from row to row: the codes, and behind them the row's scale. Not a multiple of 2 KiB, as
// lines so far apart fall into one set of the cache.
int64_t RowStride(int64_t depth, Codes codes) {
  constexpr int64_t kLine = 64;
  return Padded(depth) * (codes == Codes::kPairs ? 2 : 1) + kLine;
}

// The lanes of x as a Walsh-Hadamard matrix of `size` <= kLanes mixes them, without its norm.
VecF MixLanes(VecF x, int64_t size) {
  const I32 d;
  const auto lane = hn::Iota(d, 0);
  for (int64_t half = 1; half < size; half *= 2) {
    const auto bit = hn::Set(d, static_cast<int32_t>(half));
    const auto partner = hn::IndicesFromVec(F32(), hn::Xor(lane, bit));
    // a + b in the lower lane of a pair, a - b in the upper, whose own value is b.
    const auto is_upper = hn::RebindMask(F32(), hn::TestBit(lane, bit));
    const VecF other = hn::TableLookupLanes(x, partner);
    x = hn::Add(other, hn::IfThenElse(is_upper, hn::Neg(x), x));
  }
  return x;
}

// As Hadamard (kernels/low_bit.h), which it equals up to rounding.
void Rotate(float* values, int64_t count, int64_t size) {
  if (size < kLanes) return Hadamard(values, count, size);
  const VecF norm = hn::Set(F32(), 1 / std::sqrt(static_cast<float>(size)));
  for (float* block = values; block < values + count; block += size) {
    for (int64_t i = 0; i < size; i += kLanes) {
      Store(hn::Mul(MixLanes(Load(block + i), kLanes), norm), block + i);
    }
    for (int64_t half = kLanes; half < size; half *= 2) {
      for (int64_t begin = 0; begin < size; begin += 2 * half) {
        float* const low = block + begin;
        float* const high = low + half;
        for (int64_t i = 0; i < half; i += kLanes) {
          const VecF a = Load(low + i);
          const VecF b = Load(high + i);
          Store(hn::Add(a, b), low + i);
          Store(hn::Sub(a, b), high + i);
        }
      }
    }
  }
}

// Row `row` of x in float32, rotated as the weights are; in place, or in `buffer`.
const float* FloatRow(const Job& job, int64_t row, int64_t hadamard, float* buffer) {
  const auto copy = [&](const auto* from) HWY_ATTR {
    int64_t k = 0;
    for (; k + kLanes <= job.depth; k += kLanes) Store(Load(from + k), buffer + k);
    if (k < job.depth) StorePart(LoadPart(from + k, job.depth - k), buffer + k, job.depth - k);
  };
  if (job.x.dtype == DType::kBF16) {
    copy(static_cast<const BFloat16*>(job.x.data) + row * job.stride);
  } else {
    const float* from = static_cast<const float*>(job.x.data) + row * job.stride;
    if (hadamard == 1) return from;
    copy(from);
  }
  if (hadamard > 1) Rotate(buffer, job.depth, hadamard);
  return buffer;
}

// The largest |x|; NaN counts as none.
float LargestOf(const float* x, int64_t count) {
  VecF most = hn::Zero(F32());
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes) most = hn::Max(hn::Abs(Load(x + k)), most);
  if (k < count) most = hn::Max(hn::Abs(LoadPart(x + k, count - k)), most);
  return hn::GetLane(hn::MaxOfLanes(F32(), most));
}

// codes[k] = round(x[k] / scale) within -127 .. 127.
void RoundRow(const float* x, int64_t count, float scale, int8_t* codes) {
  const hn::Rebind<int8_t, I32> d8;
  const VecF inverse = hn::Set(F32(), scale > 0 ? 1 / scale : 0);
  const VecF most = hn::Set(F32(), 127.0f);
  const auto round = [&](VecF value) HWY_ATTR {
    // x86 gives the second operand of Min and Max where one is NaN.
    const VecF bounded = hn::Max(hn::Min(hn::Mul(value, inverse), most), hn::Neg(most));
    return hn::DemoteTo(d8, hn::NearestInt(bounded));
  };
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes) hn::StoreU(round(Load(x + k)), d8, codes + k);
  if (k == count) return;
  alignas(64) int8_t last[kLanes];
  hn::Store(round(LoadPart(x + k, count - k)), d8, last);
  std::copy_n(last, count - k, codes + k);
}

// Writes rows begin..end-1 of the job's x as codes to `rows`, RowStride bytes each.
template <Codes kCodes>
void CodeRows(const Job& job, int64_t begin, int64_t end, uint8_t* rows) {
  const auto& panels = static_cast<const cpu::LowBitPanels&>(*job.storage);
  const int64_t padded = Padded(job.depth);
  const int64_t stride = RowStride(job.depth, kCodes);
  const int64_t row_floats = cpu::Scratch::Rounded(job.depth);
  cpu::Scratch scratch(row_floats + padded / 4);
  float* const buffer = scratch.Take(row_floats);
  auto* const plain = reinterpret_cast<int8_t*>(scratch.Take(padded / 4));
  for (int64_t row = begin; row < end; ++row) {
    uint8_t* const to = rows + row * stride;
    const float* const x = FloatRow(job, row, panels.hadamard, buffer);
    const float scale =
        panels.input_scale > 0 ? panels.input_scale : LargestOf(x, job.depth) / 127.0f;
    int8_t* const codes = kCodes == Codes::kSigned ? reinterpret_cast<int8_t*>(to) : plain;
    RoundRow(x, job.depth, scale, codes);
    std::fill(codes + job.depth, codes + padded, int8_t{0});
    if constexpr (kCodes == Codes::kUnsigned) {
      for (int64_t k = 0; k < padded; ++k) to[k] = static_cast<uint8_t>(codes[k] + 128);
    } else if constexpr (kCodes == Codes::kPairs) {
      auto* const pairs = reinterpret_cast<int16_t*>(to);
      for (int64_t k = 0; k < padded; k += kQuad) {
        pairs[k] = codes[k];
        pairs[k + 1] = codes[k + 2];
        pairs[k + 2] = codes[k + 1];
        pairs[k + 3] = codes[k + 3];
      }
    }
    std::memcpy(to + stride - 64, &scale, sizeof(scale));
  }
}

// All rows of x as codes, in memory of this thread that all tasks read.
template <Codes kCodes>
const void* CodedRows(const Job& job) {
  const int64_t floats = job.rows * RowStride(job.depth, kCodes) / 4;
  auto* const rows =
      reinterpret_cast<uint8_t*>(cpu::Scratch(floats, cpu::ScratchUse::kCodes).Take(floats));
  ParallelRange(job.rows, cpu::RowsATask(job.depth),
                [&](int64_t begin, int64_t end) { CodeRows<kCodes>(job, begin, end, rows); });
  return rows;
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_INT8_ROWS_INL_H_
