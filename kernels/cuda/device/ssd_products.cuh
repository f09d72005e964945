// The products of state-space duality (ssd.cuh): of 16 rows a warp, whose numbers stay in its
// registers as fragments.cuh lays them out. Rows in shared memory lie kPad further apart than they
// are long, so that banks differ.
#pragma once

#include "kernels/cuda/device/fragments.cuh"

namespace gesso::cuda {

// bfloat16 by mma.m16n8k16, accumulated in float32.
struct SsdBf16Products {
  using Element = uint16_t;
  static constexpr int kTokens = 64;  // of a tile
  static constexpr int kPad = 8;

  // product = left [16, size] right [8 * kCount, size]^T, of rows of kWidth numbers, which are zero
  // from `size` on to a multiple of 16. Rows of the right factor from `count` on may be left out.
  template <int kWidth, int kCount, class Threads>
  GESSO_BOTH static void Multiply(Threads& threads, const Element* left, const Element* right,
                                  int size, int count, Tiles<Threads, kCount>& product) {
    constexpr int kStride = kWidth + kPad;
    SetToZero<Threads, kCount>(threads, product);
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 16) {
      if (d >= size) break;
      typename Threads::template Each<Registers> rows, columns;
      // Matrices: rows 0..7, rows 8..15, then both again 8 numbers on.
      threads.LoadMatrices(rows,
                           [&](int t) { return left + t % 16 * kStride + d + t % kWarp / 16 * 8; });
      GESSO_UNROLL for (int n = 0; n < kCount; n += 2) {
        if (n * 8 >= count) break;
        // Matrices: rows 0..7, the same 8 numbers on, then rows 8..15 likewise.
        threads.LoadMatrices(columns, [&](int t) {
          return right + (n * 8 + t % kWarp / 16 * 8 + t % 8) * kStride + d + t % 16 / 8 * 8;
        });
        threads.template MultiplyBf16<0>(product[n], rows, columns);
        threads.template MultiplyBf16<2>(product[n + 1], rows, columns);
      }
    }
  }

  // sums += weights [16, kTokens] values [kTokens, 8 * kCount]; weights are 0 from token `count`
  // on.
  template <int kStride, int kCount, class Threads>
  GESSO_BOTH static void Add(Threads& threads, const Tiles<Threads, kTokens / 8>& weights,
                             const Element* values, int count, Tiles<Threads, kCount>& sums) {
    GESSO_UNROLL for (int j = 0; j < kTokens; j += 16) {
      if (j >= count) break;
      typename Threads::template Each<Registers> rows, columns;
      threads.ForEach(
          [&](int t) { rows[t] = AsLeftFactor(weights[j / 8][t], weights[j / 8 + 1][t]); });
      GESSO_UNROLL for (int n = 0; n < kCount; n += 2) {
        // Matrices: tokens 0..7, tokens 8..15, then both again 8 columns on.
        threads.LoadTransposed(columns, [&](int t) {
          return values + (j + t % 16) * kStride + n * 8 + t % kWarp / 16 * 8;
        });
        threads.template MultiplyBf16<0>(sums[n], rows, columns);
        threads.template MultiplyBf16<2>(sums[n + 1], rows, columns);
      }
    }
  }

  GESSO_BOTH static Element Round(float number) {
    return static_cast<Element>(PackBf16(number, 0));
  }
  GESSO_BOTH static float Number(Element element) {
    return BitsToFloat(static_cast<uint32_t>(element) << 16);
  }
};

// float32 by three products of mma.m16n8k8 in TF32, as fragments.cuh tells.
struct SsdFloat32Products {
  using Element = float;
  static constexpr int kTokens = 32;
  static constexpr int kPad = 4;

  template <int kWidth, int kCount, class Threads>
  GESSO_BOTH static void Multiply(Threads& threads, const Element* left, const Element* right,
                                  int size, int count, Tiles<Threads, kCount>& product) {
    constexpr int kStride = kWidth + kPad;
    Tiles<Threads, kCount> small;
    SetToZero<Threads, kCount>(threads, product);
    SetToZero<Threads, kCount>(threads, small);
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 8) {
      if (d >= size) break;
      typename Threads::template Each<Registers> high, low, columns;
      threads.ForEach([&](int t) {
        const Element* const row = left + GroupOf(t) * kStride + d + PlaceInGroup(t);
        SplitLeft({{row[0], row[8 * kStride], row[4], row[8 * kStride + 4]}}, high[t], low[t]);
      });
      GESSO_UNROLL for (int n = 0; n < kCount; ++n) {
        if (n * 8 >= count) break;
        threads.ForEach([&](int t) {
          const Element* const row = right + (n * 8 + GroupOf(t)) * kStride + d + PlaceInGroup(t);
          columns[t] = SplitRight(row[0], row[4]);
        });
        MultiplySplit(threads, small[n], product[n], high, low, columns);
      }
    }
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int n = 0; n < kCount; ++n) {
        GESSO_UNROLL for (int i = 0; i < 4; ++i) product[n][t].at[i] += small[n][t].at[i];
      }
    });
  }

  // Of 8 tokens, column i of the left factor and row i of the right one is token 2i, and i + 4 is
  // token 2i + 1: what a thread has of `weights` is then what it needs as a left factor.
  template <int kStride, int kCount, class Threads>
  GESSO_BOTH static void Add(Threads& threads, const Tiles<Threads, kTokens / 8>& weights,
                             const Element* values, int count, Tiles<Threads, kCount>& sums) {
    constexpr int kSteps = kTokens / 8;
    typename Threads::template Each<Registers> high[kSteps], low[kSteps];
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int j = 0; j < kSteps; ++j) {
        const float(&of)[4] = weights[j][t].at;
        SplitLeft({{of[0], of[2], of[1], of[3]}}, high[j][t], low[j][t]);
      }
    });
    GESSO_UNROLL for (int n = 0; n < kCount; ++n) {
      Tiles<Threads, 1> sum;  // tensor cores cut sums off: none is longer than a tile
      SetToZero<Threads, 1>(threads, sum);
      GESSO_UNROLL for (int j = 0; j < kSteps; ++j) {
        if (j * 8 >= count) break;
        typename Threads::template Each<Registers> columns;
        threads.ForEach([&](int t) {
          const Element* const row =
              values + (j * 8 + 2 * PlaceInGroup(t)) * kStride + n * 8 + GroupOf(t);
          columns[t] = SplitRight(row[0], row[kStride]);
        });
        MultiplySplit(threads, sum[0], sum[0], high[j], low[j], columns);
      }
      threads.ForEach([&](int t) {
        GESSO_UNROLL for (int i = 0; i < 4; ++i) sums[n][t].at[i] += sum[0][t].at[i];
      });
    }
  }

  GESSO_BOTH static Element Round(float number) { return number; }
  GESSO_BOTH static float Number(Element element) { return element; }

 private:
  template <class Threads>
  GESSO_BOTH static void MultiplySplit(Threads& threads,
                                       typename Threads::template Each<Accumulator>& small,
                                       typename Threads::template Each<Accumulator>& large,
                                       const typename Threads::template Each<Registers>& high,
                                       const typename Threads::template Each<Registers>& low,
                                       const typename Threads::template Each<Registers>& columns) {
    threads.template MultiplyTf32<0>(small, low, columns);
    threads.template MultiplyTf32<2>(small, high, columns);
    threads.template MultiplyTf32<0>(large, high, columns);
  }
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
