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

// Numbers of a thread's rows: g and g + 8 of the warp's first 16, then of its next 16.
template <int kRows>
struct RowNumbers {
  float at[kRows];
};

GESSO_BOTH int GroupOf(int thread) { return thread % kWarp / 4; }
GESSO_BOTH int PlaceInGroup(int thread) { return thread % 4; }
// The number of a thread's warp, where 1 or 2 warps count as one.
GESSO_BOTH int WarpOf(int thread, int sharing) { return thread / kWarp >> (sharing - 1); }

constexpr float kLog2OfE = 1.4426950408889634f;

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

// To TF32's 11 bits, to the nearest, ties away from zero. NaN stays NaN: rounded like a number, the
// one with all bits set would become zero.
GESSO_BOTH uint32_t RoundToTf32(uint32_t bits) {
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return (nan ? bits | 0x400000u : bits + 0x1000u) & ~0x1fffu;
}

// A float32 number as the sum of two of TF32's 11 bits of precision each.
struct SplitNumber {
  uint32_t high, low;
};

// The first to the nearest, ties away from zero; of the rest, which has 12 bits at most, the last
// may be cut off. NaN stays NaN in `low`, whatever becomes of it in `high`.
GESSO_BOTH SplitNumber Split(float value) {
  constexpr uint32_t kKept = ~0x1fffu;
  const uint32_t high = (FloatToBits(value) + 0x1000u) & kKept;
  return {high, FloatToBits(value - BitsToFloat(high)) & kKept};
}

// Of a product [16, 8 * kCount] of a warp.
template <class Threads, int kCount>
using Tiles = typename Threads::template Each<Accumulator>[kCount];
// Of one [16 * kTiles, 8 * kCount].
template <class Threads, int kTiles, int kCount>
using Matrix = Tiles<Threads, kCount>[kTiles];

template <class Threads, int kCount>
GESSO_BOTH void SetToZero(Threads& threads, Tiles<Threads, kCount>& tiles) {
  threads.ForEach([&](int t) { GESSO_UNROLL for (int n = 0; n < kCount; ++n) tiles[n][t] = {}; });
}
template <class Threads, int kTiles, int kCount>
GESSO_BOTH void SetToZero(Threads& threads, Matrix<Threads, kTiles, kCount>& matrix) {
  GESSO_UNROLL for (int m = 0; m < kTiles; ++m) SetToZero<Threads, kCount>(threads, matrix[m]);
}

// Two accumulators beside each other as a left factor in bfloat16, of which each is half.
GESSO_BOTH Registers AsLeftFactor(const Accumulator& near, const Accumulator& far) {
  return {{PackBf16(near.at[0], near.at[1]), PackBf16(near.at[2], near.at[3]),
           PackBf16(far.at[0], far.at[1]), PackBf16(far.at[2], far.at[3])}};
}

// bfloat16 by mma.m16n8k16, accumulated in float32.
struct Bf16Products {
  using Element = uint16_t;
  static constexpr int kKeys = 64;  // in a tile
  static constexpr int kPad = 8;    // between rows in shared memory, so that banks differ

  // Two numbers in their type, at once if `together`.
  GESSO_BOTH static void Store(Element* to, float first, float second, bool together) {
    const uint32_t packed = PackBf16(first, second);
    if (together) {
      *reinterpret_cast<uint32_t*>(to) = packed;
    } else {
      to[0] = static_cast<Element>(packed);
      to[1] = static_cast<Element>(packed >> 16);
    }
  }

  static constexpr int kStep = 32;  // keys that are scored at once

  // The queries of a warp as left factors: of as many channels as 32 registers hold they stay
  // there, others are read for every step.
  template <class Threads, int kWidth, int kTiles>
  class Queries {
   public:
    // q: rows of the block, of which a warp, or two that are `sharing`, has 16 * kTiles.
    GESSO_BOTH void Begin(Threads& threads, const Element* q, int sharing) {
      rows_ = q;
      sharing_ = sharing;
      GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
        GESSO_UNROLL for (int d = 0; d < kKept; d += 16) Read(threads, m, d, kept_[m][d / 16]);
      }
    }
    // Tile m, channels d .. d + 15.
    GESSO_BOTH void Get(Threads& threads, int m, int d,
                        typename Threads::template Each<Registers>& to) const {
      if (d < kKept) {
        to = kept_[m][d / 16];
      } else {
        Read(threads, m, d, to);
      }
    }

   private:
    static constexpr int kRoom = 128 / kTiles;  // channels
    static constexpr int kKept = kRoom < kWidth ? kRoom : kWidth;

    // Matrices: rows 0..7, rows 8..15, then both again 8 channels on.
    GESSO_BOTH void Read(Threads& threads, int m, int d,
                         typename Threads::template Each<Registers>& to) const {
      threads.LoadMatrices(to, [&](int t) {
        const int row = (WarpOf(t, sharing_) * kTiles + m) * 16 + t % 16;
        return rows_ + row * (kWidth + kPad) + d + t % kWarp / 16 * 8;
      });
    }

    const Element* rows_;
    int sharing_;
    typename Threads::template Each<Registers> kept_[kTiles][kKept / 16];
  };

  // scores [queries, keys] = queries k [keys, kWidth]^T of every warp; rows lie kWidth + kPad
  // elements apart.
  template <int kWidth, int kTiles, class Threads>
  GESSO_BOTH static void Scores(Threads& threads, const Queries<Threads, kWidth, kTiles>& queries,
                                const Element* k, Matrix<Threads, kTiles, kStep / 8>& scores) {
    constexpr int kStride = kWidth + kPad;
    SetToZero<Threads, kTiles, kStep / 8>(threads, scores);
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 16) {
      typename Threads::template Each<Registers> query[kTiles], keys;
      GESSO_UNROLL for (int m = 0; m < kTiles; ++m) queries.Get(threads, m, d, query[m]);
      GESSO_UNROLL for (int n = 0; n < kStep; n += 16) {
        // Matrices: keys 0..7, the same 8 channels on, then keys 8..15 likewise.
        threads.LoadMatrices(keys, [&](int t) {
          return k + (n + t % kWarp / 16 * 8 + t % 8) * kStride + d + t % 16 / 8 * 8;
        });
        GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
          threads.template MultiplyBf16<0>(scores[m][n / 8], query[m], keys);
          threads.template MultiplyBf16<2>(scores[m][n / 8 + 1], query[m], keys);
        }
      }
    }
  }

  // sums [queries, kWidth] += weights [queries, keys] v [keys, kWidth] of every warp.
  template <int kWidth, int kTiles, class Threads>
  GESSO_BOTH static void AddValues(Threads& threads,
                                   const Matrix<Threads, kTiles, kStep / 8>& weights,
                                   const Element* v, Matrix<Threads, kTiles, kWidth / 8>& sums) {
    constexpr int kStride = kWidth + kPad;
    GESSO_UNROLL for (int j = 0; j < kStep; j += 16) {
      typename Threads::template Each<Registers> left[kTiles], values;
      threads.ForEach([&](int t) {
        GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
          left[m][t] = AsLeftFactor(weights[m][j / 8][t], weights[m][j / 8 + 1][t]);
        }
      });
      GESSO_UNROLL for (int d = 0; d < kWidth; d += 16) {
        // Matrices: keys 0..7, keys 8..15, then both again 8 channels on.
        threads.LoadTransposed(
            values, [&](int t) { return v + (j + t % 16) * kStride + d + t % kWarp / 16 * 8; });
        GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
          threads.template MultiplyBf16<0>(sums[m][d / 8], left[m], values);
          threads.template MultiplyBf16<2>(sums[m][d / 8 + 1], left[m], values);
        }
      }
    }
  }
};

// float32 by three products of mma.m16n8k8 in TF32: (a + a') (b + b') = a b + a b' + a' b, where
// a' b' is below float32's precision. Tensor cores cut off what does not fit into the accumulator,
// always towards zero; sums over many keys are therefore made of short ones, added as float32
// usually is. Ootomo & Yokota 2022, "Recovering single precision accuracy from Tensor Cores while
// surpassing the FP32 theoretical peak performance". Not kWhole: by a b alone.
template <bool kWhole>
struct Tf32Products {
  using Element = float;
  static constexpr int kKeys = 32;
  static constexpr int kPad = 4;

  GESSO_BOTH static void Store(Element* to, float first, float second, bool together) {
    struct alignas(8) Pair {
      float first, second;
    };
    if (together) {
      *reinterpret_cast<Pair*>(to) = {first, second};
    } else {
      to[0] = first;
      to[1] = second;
    }
  }
  static constexpr int kStep = kKeys;

  // Read and split for every step.
  template <class Threads, int kWidth, int kTiles>
  class Queries {
   public:
    GESSO_BOTH void Begin(Threads&, const Element* q, int) { rows_ = q; }
    // Tile m, channels d .. d + 7. Matrices of 4 channels: rows 0..7, rows 8..15, then both again 4
    // channels on.
    GESSO_BOTH void Get(Threads& threads, int m, int d,
                        typename Threads::template Each<Registers>& high,
                        typename Threads::template Each<Registers>& low) const {
      threads.LoadMatrices(high, [&](int t) {
        const int row = (t / kWarp * kTiles + m) * 16 + t % 16;
        return rows_ + row * (kWidth + kPad) + d + t % kWarp / 16 * 4;
      });
      SplitAll(threads, high, low);
    }

   private:
    const Element* rows_;
  };

  template <int kWidth, int kTiles, class Threads>
  GESSO_BOTH static void Scores(Threads& threads, const Queries<Threads, kWidth, kTiles>& queries,
                                const Element* k, Matrix<Threads, kTiles, kStep / 8>& scores) {
    constexpr int kStride = kWidth + kPad;
    Matrix<Threads, kTiles, kStep / 8> small;
    SetToZero<Threads, kTiles, kStep / 8>(threads, scores);
    SetToZero<Threads, kTiles, kStep / 8>(threads, small);
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 8) {
      typename Threads::template Each<Registers> high[kTiles], low[kTiles], keys, rest;
      GESSO_UNROLL for (int m = 0; m < kTiles; ++m) queries.Get(threads, m, d, high[m], low[m]);
      GESSO_UNROLL for (int n = 0; n < kStep; n += 16) {
        // Matrices: keys 0..7, the same 4 channels on, then keys 8..15 likewise.
        threads.LoadMatrices(keys, [&](int t) {
          return k + (n + t % kWarp / 16 * 8 + t % 8) * kStride + d + t % 16 / 8 * 4;
        });
        SplitAll(threads, keys, rest);
        GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
          if constexpr (kWhole) {
            threads.template MultiplyTf32<0>(small[m][n / 8], low[m], keys);
            threads.template MultiplyTf32<2>(small[m][n / 8 + 1], low[m], keys);
          }
          threads.template MultiplyTf32<0>(scores[m][n / 8], high[m], keys);
          threads.template MultiplyTf32<2>(scores[m][n / 8 + 1], high[m], keys);
          if constexpr (kWhole) {
            threads.template MultiplyTf32<0>(small[m][n / 8], high[m], rest);
            threads.template MultiplyTf32<2>(small[m][n / 8 + 1], high[m], rest);
          }
        }
      }
    }
    if constexpr (kWhole) {
      threads.ForEach([&](int t) {
        GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
          GESSO_UNROLL for (int n = 0; n < kStep / 8; ++n) Add(small[m][n][t], scores[m][n][t]);
        }
      });
    }
  }

  // Of 8 keys, column i of the left factor and row i of the right one is key 2i, and i + 4 is key
  // 2i + 1: what a thread has in its accumulators is then what it needs as a left factor.
  template <int kWidth, int kTiles, class Threads>
  GESSO_BOTH static void AddValues(Threads& threads,
                                   const Matrix<Threads, kTiles, kStep / 8>& weights,
                                   const Element* v, Matrix<Threads, kTiles, kWidth / 8>& sums) {
    constexpr int kStride = kWidth + kPad;
    constexpr int kCount = kStep / 8;
    typename Threads::template Each<Registers> high[kTiles][kCount], low[kTiles][kCount];
    GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
      GESSO_UNROLL for (int n = 0; n < kCount; ++n) {
        threads.ForEach([&](int t) {
          const float(&of)[4] = weights[m][n][t].at;
          high[m][n][t] = {
              {FloatToBits(of[0]), FloatToBits(of[2]), FloatToBits(of[1]), FloatToBits(of[3])}};
        });
        SplitAll(threads, high[m][n], low[m][n]);
      }
    }
    GESSO_UNROLL for (int d = 0; d < kWidth; d += 16) {
      Matrix<Threads, kTiles, 2> sum;
      SetToZero<Threads, kTiles, 2>(threads, sum);
      GESSO_UNROLL for (int n = 0; n < kCount; ++n) {
        typename Threads::template Each<Registers> values, rest;
        threads.ForEach([&](int t) {
          const Element* row = v + (n * 8 + 2 * PlaceInGroup(t)) * kStride + d + GroupOf(t);
          values[t] = {{FloatToBits(row[0]), FloatToBits(row[kStride]), FloatToBits(row[8]),
                        FloatToBits(row[kStride + 8])}};
        });
        SplitAll(threads, values, rest);
        GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
          if constexpr (kWhole) {
            threads.template MultiplyTf32<0>(sum[m][0], low[m][n], values);
            threads.template MultiplyTf32<2>(sum[m][1], low[m][n], values);
            threads.template MultiplyTf32<0>(sum[m][0], high[m][n], rest);
            threads.template MultiplyTf32<2>(sum[m][1], high[m][n], rest);
          }
          threads.template MultiplyTf32<0>(sum[m][0], high[m][n], values);
          threads.template MultiplyTf32<2>(sum[m][1], high[m][n], values);
        }
      }
      threads.ForEach([&](int t) {
        GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
          Add(sum[m][0][t], sums[m][d / 8][t]);
          Add(sum[m][1][t], sums[m][d / 8 + 1][t]);
        }
      });
    }
  }

 private:
  // Numbers become their high parts, or are rounded, which leaves nothing.
  template <class Threads>
  GESSO_BOTH static void SplitAll(Threads& threads,
                                  typename Threads::template Each<Registers>& numbers,
                                  typename Threads::template Each<Registers>& low) {
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int i = 0; i < 4; ++i) {
        uint32_t& number = numbers[t].at[i];
        if constexpr (kWhole) {
          const SplitNumber parts = Split(BitsToFloat(number));
          number = parts.high;
          low[t].at[i] = parts.low;
        } else {
          number = RoundToTf32(number);
        }
      }
    });
  }
  GESSO_BOTH static void Add(const Accumulator& from, Accumulator& to) {
    GESSO_UNROLL for (int i = 0; i < 4; ++i) to.at[i] += from.at[i];
  }
};
using Float32Products = Tf32Products<true>;
using RoundedProducts = Tf32Products<false>;

}  // namespace gesso::cuda
