// Products of small matrices by the threads of a block, a warp a product: what each thread keeps in
// its registers, and attention's two products over a tile of keys in bfloat16 and in float32.
//
// The arithmetic is written once over "threads": those of a block on the device
// (block_threads.cuh), or on the host, for tests, an array of them (tests/support/cuda_threads.h).
// Each<T> is a T of every thread. Layouts: NVIDIA, PTX ISA, "Matrix Fragments for mma.m16n8k16" and
// "mma.m16n8k8"; of lane l, g = l / 4 and i = l % 4.
#pragma once

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

constexpr int kWarp = 32;

// Of a product [16, 8]: (g, 2i), (g, 2i + 1), (g + 8, 2i), (g + 8, 2i + 1).
struct Accumulator {
  float at[4];
};

// Of a left factor: its four registers. Of right factors: two registers each.
struct Registers {
  uint32_t at[4];
};

// Numbers of the two rows of an accumulator: g and g + 8.
struct Couple {
  float at[2];
};

GESSO_BOTH int GroupOf(int thread) { return thread % kWarp / 4; }
GESSO_BOTH int PlaceInGroup(int thread) { return thread % 4; }
// The first of the 16 rows of a thread's warp.
GESSO_BOTH int FirstRowOf(int thread) { return thread / kWarp * 16; }

// 2^x; what is below float32's normal numbers may be 0.
GESSO_BOTH float Exp2(float x) {
#ifdef __CUDA_ARCH__
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return exp2f(x);
#endif
}

// A float32 number as the sum of two of TF32's 11 bits of precision each.
struct SplitNumber {
  uint32_t high, low;
};

// To the nearest, ties away from zero, as cvt.rna.tf32 rounds. NaN stays NaN: rounded like a
// number, the one with all bits set would become zero.
GESSO_BOTH uint32_t RoundToTf32(float value) {
  const uint32_t bits = FloatToBits(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return (nan ? bits | 0x400000u : bits + 0x1000u) & ~0x1fffu;
}

GESSO_BOTH SplitNumber Split(float value) {
  const uint32_t high = RoundToTf32(value);
  return {high, RoundToTf32(value - BitsToFloat(high))};
}

template <class Threads, int kCount>
using Tiles = typename Threads::template Each<Accumulator>[kCount];

template <class Threads, int kCount>
GESSO_BOTH void SetToZero(Threads& threads, Tiles<Threads, kCount>& tiles) {
  threads.ForEach([&](int t) { GESSO_UNROLL for (int n = 0; n < kCount; ++n) tiles[n][t] = {}; });
}

// bfloat16 by mma.m16n8k16, accumulated in float32.
struct Bf16Products {
  using Element = uint16_t;
  static constexpr int kKeys = 64;  // in a tile
  static constexpr int kPad = 8;    // between rows in shared memory, so that banks differ

  // scores [queries, kKeys] = q [queries, channels] k [kKeys, channels]^T, or 0 from key `count` on
  // but for some up to the next multiple of 16. Channels beyond `channels` up to the next multiple
  // of 16 are zero. Rows lie kStride elements apart.
  template <int kWidth, class Threads>
  GESSO_BOTH static void Scores(Threads& threads, const Element* q, const Element* k, int count,
                                int channels, Tiles<Threads, kKeys / 8>& scores) {
    constexpr int kStride = kWidth + kPad;
    SetToZero<Threads, kKeys / 8>(threads, scores);
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 16) {
      if (d >= channels) break;
      typename Threads::template Each<Registers> query, keys;
      // Matrices: rows 0..7, rows 8..15, then both again 8 channels on.
      threads.LoadMatrices(query, [&](int t) {
        return q + (FirstRowOf(t) + t % 16) * kStride + d + t % kWarp / 16 * 8;
      });
      GESSO_UNROLL for (int n = 0; n < kKeys; n += 16) {
        if (n >= count) break;
        // Matrices: keys 0..7, the same 8 channels on, then keys 8..15 likewise.
        threads.LoadMatrices(keys, [&](int t) {
          return k + (n + t % kWarp / 16 * 8 + t % 8) * kStride + d + t % 16 / 8 * 8;
        });
        threads.template MultiplyBf16<0>(scores[n / 8], query, keys);
        threads.template MultiplyBf16<2>(scores[n / 8 + 1], query, keys);
      }
    }
  }

  // sums [queries, channels] = kept * sums + weights [queries, kKeys] v [kKeys, channels]; weights
  // are 0 from key `count` on.
  template <int kWidth, class Threads>
  GESSO_BOTH static void AddValues(Threads& threads, Tiles<Threads, kKeys / 8>& weights,
                                   const Element* v, int count, int channels,
                                   const typename Threads::template Each<Couple>& kept,
                                   Tiles<Threads, kWidth / 8>& sums) {
    constexpr int kStride = kWidth + kPad;
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int n = 0; n < kWidth / 8; ++n) {
        GESSO_UNROLL for (int i = 0; i < 4; ++i) sums[n][t].at[i] *= kept[t].at[i / 2];
      }
    });
    GESSO_UNROLL for (int j = 0; j < kKeys; j += 16) {
      if (j >= count) break;
      typename Threads::template Each<Registers> left, values;
      threads.ForEach([&](int t) {  // an accumulator's layout is half of a left factor's
        const float* near = weights[j / 8][t].at;
        const float* far = weights[j / 8 + 1][t].at;
        left[t] = {{PackBf16(near[0], near[1]), PackBf16(near[2], near[3]),
                    PackBf16(far[0], far[1]), PackBf16(far[2], far[3])}};
      });
      GESSO_UNROLL for (int d = 0; d < kWidth; d += 16) {
        if (d >= channels) break;
        // Matrices: keys 0..7, keys 8..15, then both again 8 channels on.
        threads.LoadTransposed(
            values, [&](int t) { return v + (j + t % 16) * kStride + d + t % kWarp / 16 * 8; });
        threads.template MultiplyBf16<0>(sums[d / 8], left, values);
        threads.template MultiplyBf16<2>(sums[d / 8 + 1], left, values);
      }
    }
  }
};

// float32 by three products of mma.m16n8k8 in TF32: (a + a') (b + b') = a b + a b' + a' b, where
// a' b' is below float32's precision. Tensor cores cut off what does not fit into the accumulator,
// always towards zero; sums over many keys are therefore made of short ones, added as float32
// usually is. Ootomo & Yokota 2022, "Recovering single precision accuracy from Tensor Cores while
// surpassing the FP32 theoretical peak performance".
struct Float32Products {
  using Element = float;
  static constexpr int kKeys = 32;
  static constexpr int kPad = 4;

  template <int kWidth, class Threads>
  GESSO_BOTH static void Scores(Threads& threads, const Element* q, const Element* k, int count,
                                int channels, Tiles<Threads, kKeys / 8>& scores) {
    constexpr int kStride = kWidth + kPad;
    Tiles<Threads, kKeys / 8> small;
    SetToZero<Threads, kKeys / 8>(threads, scores);
    SetToZero<Threads, kKeys / 8>(threads, small);
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 8) {
      if (d >= channels) break;
      typename Threads::template Each<Registers> high, low, key;
      threads.ForEach([&](int t) {
        const Element* row = q + (FirstRowOf(t) + GroupOf(t)) * kStride + d + PlaceInGroup(t);
        SplitLeft({{row[0], row[8 * kStride], row[4], row[8 * kStride + 4]}}, high[t], low[t]);
      });
      GESSO_UNROLL for (int n = 0; n < kKeys; n += 8) {
        if (n >= count) break;
        threads.ForEach([&](int t) {
          const Element* row = k + (n + GroupOf(t)) * kStride + d + PlaceInGroup(t);
          key[t] = SplitRight(row[0], row[4]);
        });
        threads.template MultiplyTf32<0>(small[n / 8], low, key);
        threads.template MultiplyTf32<2>(small[n / 8], high, key);
        threads.template MultiplyTf32<0>(scores[n / 8], high, key);
      }
    }
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
        GESSO_UNROLL for (int i = 0; i < 4; ++i) scores[n][t].at[i] += small[n][t].at[i];
      }
    });
  }

  // Of 8 keys, column i of the left factor and row i of the right one is key 2i, and i + 4 is key
  // 2i + 1: what a thread has in its accumulators is then what it needs as a left factor.
  template <int kWidth, class Threads>
  GESSO_BOTH static void AddValues(Threads& threads, Tiles<Threads, kKeys / 8>& weights,
                                   const Element* v, int count, int channels,
                                   const typename Threads::template Each<Couple>& kept,
                                   Tiles<Threads, kWidth / 8>& sums) {
    constexpr int kStride = kWidth + kPad;
    typename Threads::template Each<Registers> high[kKeys / 8], low[kKeys / 8];
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
        const float* of = weights[n][t].at;
        SplitLeft({{of[0], of[2], of[1], of[3]}}, high[n][t], low[n][t]);
      }
    });
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 8) {
      if (d >= channels) break;
      Tiles<Threads, 1> sum;
      SetToZero<Threads, 1>(threads, sum);
      GESSO_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
        if (n * 8 >= count) break;
        typename Threads::template Each<Registers> value;
        threads.ForEach([&](int t) {
          const Element* row = v + (n * 8 + 2 * PlaceInGroup(t)) * kStride + d + GroupOf(t);
          value[t] = SplitRight(row[0], row[kStride]);
        });
        threads.template MultiplyTf32<0>(sum[0], low[n], value);
        threads.template MultiplyTf32<2>(sum[0], high[n], value);
        threads.template MultiplyTf32<0>(sum[0], high[n], value);
      }
      threads.ForEach([&](int t) {
        GESSO_UNROLL for (int i = 0; i < 4; ++i) {
          float& to = sums[d / 8][t].at[i];
          to = to * kept[t].at[i / 2] + sum[0][t].at[i];
        }
      });
    }
  }

 private:
  // Columns i and i + 4 of rows g and g + 8, in the order of a left factor's registers.
  GESSO_BOTH static void SplitLeft(const Accumulator& values, Registers& high, Registers& low) {
    GESSO_UNROLL for (int i = 0; i < 4; ++i) {
      const SplitNumber parts = Split(values.at[i]);
      high.at[i] = parts.high;
      low.at[i] = parts.low;
    }
  }
  // Rows i and i + 4 of column g: the right factor's high parts, then its low parts.
  GESSO_BOTH static Registers SplitRight(float first, float second) {
    const SplitNumber a = Split(first);
    const SplitNumber b = Split(second);
    return {{a.high, b.high, a.low, b.low}};
  }
};

}  // namespace gesso::cuda
