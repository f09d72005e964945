// float32 numbers as sums of two bfloat16 ones: for inputs of products with bfloat16 weights
// (gemm_bf16.cpp), and, by AMX's tiles, for convolutions in float32 (conv_split.cpp; products of
// float32 matrices take digits, which need a scale a row: gemm_digits.cpp). Included once a Highway
// target; empty for those without AVX-512.
//
// In a convolution each factor is such a sum, each product that of all four of their parts:
//   x w ~ (x1 + x2)(w1 + w2),  x1 = bf16(x), x2 = bf16(x - x1)
// A factor is off by 2^-16 of itself at most, 2^-18.5 in the mean (RMS) of random ones; so are
// products by twice and 1.4 times as much. Sums are float32 chains in the order of k, for each step
// of kPairDepth inputs first x2 w2, then x1 w2, x1 w1, x2 w1: their bits depend neither on the tile
// nor on threads.

// The guard flips with each target that foreach_target.h compiles; #pragma once would not.
#if defined(GESSO_KERNELS_CPU_SPLIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_SPLIT_INL_H_
#undef GESSO_KERNELS_CPU_SPLIT_INL_H_
#else
#define GESSO_KERNELS_CPU_SPLIT_INL_H_
#endif

#include "kernels/cpu/amx.h"
#include "kernels/cpu/bf16_panels.h"
#include "kernels/cpu/gemm_job-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int64_t kParts = 2;
constexpr int64_t kSplitTileColumns = 16;
constexpr int64_t kSplitWeightBytes = cpu::kPairWidth * 2 * 2;  // from pair to pair
constexpr int64_t kSplitRows = 32;                              // of a tile at most
constexpr int64_t kStepBytes = kParts * cpu::kTileWeights * 2;  // of weights for kPairDepth inputs

// bfloat16 numbers from a row of split inputs to the next. Lines that fall into few sets of the
// cache drive each other out.
inline int64_t SplitStride(int64_t depth) {
  constexpr int64_t kAliasing = 1024;
  const int64_t size = kParts * cpu::PaddedDepth(depth);
  return size % kAliasing == 0 ? size + kParts * cpu::kPairDepth : size;
}

// The first parts of values, still as float32: rounded to bfloat16, halves away from zero. What
// would round to infinity, and NaN, are left to the second part, which is not the difference of
// infinities then.
HWY_INLINE VecF FirstParts(VecF value) {
  const auto bits = hn::BitCast(U32(), value);
  const auto rounded = hn::And(hn::Add(bits, hn::Set(U32(), 0x8000)), hn::Set(U32(), 0xffff0000));
  const auto largest = hn::BitCast(F32(), hn::Set(U32(), 0x7f7f8000));  // and above: infinity
  return hn::IfThenElseZero(hn::Lt(hn::Abs(value), largest), hn::BitCast(F32(), rounded));
}

GESSO_AVX512_BF16 inline void StoreHalves(VecF left, VecF right, BFloat16* to) {
  _mm512_storeu_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(right.raw, left.raw)));
}

// A row of x [depth] as [padded / kPairDepth, kParts, kPairDepth], with zeros behind the last.
template <class T>
GESSO_AVX512_BF16 void SplitRow(const T* from, int64_t depth, BFloat16* to) {
  static_assert(cpu::kPairDepth == 2 * kLanes);
  const auto split = [&](VecF left, VecF right) GESSO_AVX512_BF16 {
    const VecF first_left = FirstParts(left);
    const VecF first_right = FirstParts(right);
    StoreHalves(first_left, first_right, to);
    StoreHalves(hn::Sub(left, first_left), hn::Sub(right, first_right), to + cpu::kPairDepth);
    to += kParts * cpu::kPairDepth;
  };
  int64_t k = 0;
  for (; k + cpu::kPairDepth <= depth; k += cpu::kPairDepth) {
    split(Load(from + k), Load(from + k + kLanes));
  }
  if (k == depth) return;
  T rest[cpu::kPairDepth] = {};
  std::copy(from + k, from + depth, rest);
  split(Load(rest), Load(rest + kLanes));
}

// Where the inputs of a row's sums lie: `count` pieces of `depth` inputs each (a multiple of
// kPairDepth), `offsets` bfloat16 numbers from the row's start. The weights lie one after the
// other.
struct Segments {
  const int64_t* offsets;
  int64_t count;
  int64_t depth;
};

// A panel times up to 16 rows of x.
GESSO_AMX inline void SplitUpTo16(Rows<const BFloat16> x, const Segments& segments,
                                  const BFloat16* panel, bool fresh, Rows<const float> init,
                                  Rows<float> sums) {
  GESSO_BARRIER();
  _tile_loadd(0, init.data, init.stride * 4);
  _tile_loadd(1, init.data + kSplitTileColumns, init.stride * 4);
  for (int64_t segment = 0; segment < segments.count; ++segment) {
    const BFloat16* from = x.data + segments.offsets[segment];
    for (int64_t k = 0; k < segments.depth; k += cpu::kPairDepth) {
      if (fresh) cpu::PrefetchWeights<kStepBytes>(panel);
      _tile_loadd(4, from, x.stride * 2);
      _tile_loadd(5, from + cpu::kPairDepth, x.stride * 2);
      _tile_loadd(6, panel + cpu::kTileWeights, kSplitWeightBytes);
      _tile_dpbf16ps(0, 5, 6);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, panel + cpu::kTileWeights + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(1, 5, 7);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(6, panel, kSplitWeightBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(0, 5, 6);
      _tile_loadd(7, panel + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(1, 5, 7);
      from += kParts * cpu::kPairDepth;
      panel += kParts * cpu::kTileWeights;
    }
  }
  _tile_stored(0, sums.data, sums.stride * 4);
  _tile_stored(1, sums.data + kSplitTileColumns, sums.stride * 4);
  GESSO_BARRIER();
}

// Two panels side by side: the sums of one alone would wait for each other.
GESSO_AMX inline void SplitPairUpTo16(Rows<const BFloat16> x, const Segments& segments,
                                      const BFloat16* panel, const BFloat16* next, bool fresh,
                                      Rows<const float> init, Rows<float> sums) {
  GESSO_BARRIER();
  _tile_loadd(0, init.data, init.stride * 4);
  _tile_loadd(1, init.data + kSplitTileColumns, init.stride * 4);
  _tile_loadd(2, init.data + 2 * kSplitTileColumns, init.stride * 4);
  _tile_loadd(3, init.data + 3 * kSplitTileColumns, init.stride * 4);
  for (int64_t segment = 0; segment < segments.count; ++segment) {
    const BFloat16* from = x.data + segments.offsets[segment];
    for (int64_t k = 0; k < segments.depth; k += cpu::kPairDepth) {
      if (fresh) {
        cpu::PrefetchWeights<kStepBytes>(panel);
        cpu::PrefetchWeights<kStepBytes>(next);
      }
      _tile_loadd(4, from, x.stride * 2);
      _tile_loadd(5, from + cpu::kPairDepth, x.stride * 2);
      _tile_loadd(6, panel + cpu::kTileWeights, kSplitWeightBytes);
      _tile_dpbf16ps(0, 5, 6);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, panel + cpu::kTileWeights + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(1, 5, 7);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(6, next + cpu::kTileWeights, kSplitWeightBytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(2, 4, 6);
      _tile_loadd(7, next + cpu::kTileWeights + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(3, 5, 7);
      _tile_dpbf16ps(3, 4, 7);
      _tile_loadd(6, panel, kSplitWeightBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(0, 5, 6);
      _tile_loadd(7, panel + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(1, 5, 7);
      _tile_loadd(6, next, kSplitWeightBytes);
      _tile_dpbf16ps(2, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
      _tile_loadd(7, next + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(3, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
      from += kParts * cpu::kPairDepth;
      panel += kParts * cpu::kTileWeights;
      next += kParts * cpu::kTileWeights;
    }
  }
  _tile_stored(0, sums.data, sums.stride * 4);
  _tile_stored(1, sums.data + kSplitTileColumns, sums.stride * 4);
  _tile_stored(2, sums.data + 2 * kSplitTileColumns, sums.stride * 4);
  _tile_stored(3, sums.data + 3 * kSplitTileColumns, sums.stride * 4);
  GESSO_BARRIER();
}

// 17 to 32 rows.
GESSO_AMX inline void SplitUpTo32(Rows<const BFloat16> x, const Segments& segments,
                                  const BFloat16* panel, bool fresh, Rows<const float> init,
                                  Rows<float> sums) {
  GESSO_BARRIER();
  const int64_t init_bytes = init.stride * 4;
  const int64_t x_bytes = x.stride * 2;
  const float* lower_init = init.data + 16 * init.stride;
  float* lower_sums = sums.data + 16 * sums.stride;
  _tile_loadd(0, init.data, init_bytes);
  _tile_loadd(1, init.data + kSplitTileColumns, init_bytes);
  _tile_loadd(2, lower_init, init_bytes);
  _tile_loadd(3, lower_init + kSplitTileColumns, init_bytes);
  for (int64_t segment = 0; segment < segments.count; ++segment) {
    const BFloat16* upper_x = x.data + segments.offsets[segment];
    const BFloat16* lower_x = upper_x + 16 * x.stride;
    for (int64_t k = 0; k < segments.depth; k += cpu::kPairDepth) {
      if (fresh) cpu::PrefetchWeights<kStepBytes>(panel);
      _tile_loadd(4, upper_x + cpu::kPairDepth, x_bytes);
      _tile_loadd(6, panel + cpu::kTileWeights, kSplitWeightBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, panel + cpu::kTileWeights + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, lower_x + cpu::kPairDepth, x_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(4, upper_x, x_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, lower_x, x_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(6, panel, kSplitWeightBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
      _tile_loadd(7, panel + 2 * kSplitTileColumns, kSplitWeightBytes);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
      _tile_loadd(4, upper_x + cpu::kPairDepth, x_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, lower_x + cpu::kPairDepth, x_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      panel += kParts * cpu::kTileWeights;
      upper_x += kParts * cpu::kPairDepth;
      lower_x += kParts * cpu::kPairDepth;
    }
  }
  _tile_stored(0, sums.data, sums.stride * 4);
  _tile_stored(1, sums.data + kSplitTileColumns, sums.stride * 4);
  _tile_stored(2, lower_sums, sums.stride * 4);
  _tile_stored(3, lower_sums + kSplitTileColumns, sums.stride * 4);
  GESSO_BARRIER();
}

// sums[i, j] = init[i, j] + sum_k x[i, k] * weights[j, k] for 1 to kSplitRows rows and panels that
// lie `panel_size` apart; init may be sums. The depth is that of `segments`.
GESSO_AMX inline void SplitMultiply(int64_t rows, Rows<const BFloat16> x, const Segments& segments,
                                    PanelRun<BFloat16> weights, int64_t panel_size,
                                    Rows<const float> init, Rows<float> sums) {
  cpu::TileConfig config = cpu::ConfigFor(rows);
  if (rows <= 16) {  // all four sums are of these rows
    for (const size_t tile : {2U, 3U, 5U}) config.rows[tile] = config.rows[0];
  }
  _tile_loadconfig(&config);
  for (int64_t p = 0; p < weights.count;) {
    const int64_t column = p * cpu::kPairWidth;
    const Rows<const float> from = init.At(0, column);
    const Rows<float> to = sums.At(0, column);
    const BFloat16* panel = weights.first + p * panel_size;
    const bool pair = rows <= 16 && p + 2 <= weights.count;
    if (rows > 16) {
      SplitUpTo32(x, segments, panel, weights.fresh, from, to);
    } else if (pair) {
      SplitPairUpTo16(x, segments, panel, panel + panel_size, weights.fresh, from, to);
    } else {
      SplitUpTo16(x, segments, panel, weights.fresh, from, to);
    }
    p += pair ? 2 : 1;
  }
  // Registers in use would cost every switch between threads.
  _tile_release();
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // GESSO_KERNELS_CPU_SPLIT_INL_H_
