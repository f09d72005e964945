#include "kernels/cpu/attention.h"

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/transpose-inl.h"

// Online softmax over tiles of keys (Dao et al. 2022, "FlashAttention"). A tile's keys are
// transposed and its values copied once for a block of queries; scores of a few queries at a time
// stay in the L1 cache, where they become weights and are multiplied with the values.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int64_t kQueryBlock = 96;  // queries that share a transposed tile of keys
constexpr int64_t kKeyTile = 128;
constexpr int kLanes = HWY_LANES(float);
constexpr int kRows = kLanes == 16 ? 8 : 6;  // queries a register block; divides kQueryBlock
constexpr int kColumns = 2;                  // vectors a register block

// A thread's buffers for one block of queries and one tile of keys.
struct Buffers {
  static constexpr int64_t Width(int64_t depth) { return (depth + kLanes - 1) / kLanes * kLanes; }
  static int64_t Floats(int64_t depth) {
    return (2 * kQueryBlock + 2 * kKeyTile + kLanes) * Width(depth) + kRows * kKeyTile + kKeyTile +
           2 * kQueryBlock;
  }
  explicit Buffers(int64_t depth)
      : width(Width(depth)),
        scratch(Floats(depth)),
        queries(scratch.Take(kQueryBlock * width)),
        sums(scratch.Take(kQueryBlock * width)),
        keys(scratch.Take(kKeyTile * width)),
        values(scratch.Take(kKeyTile * width)),
        rows(scratch.Take(kLanes * width)),
        scores(scratch.Take(kRows * kKeyTile)),
        added(scratch.Take(kKeyTile)),
        largest(scratch.Take(kQueryBlock)),
        totals(scratch.Take(kQueryBlock)) {}

  int64_t width;  // depth rounded up to whole vectors
  cpu::Scratch scratch;
  float* queries;  // [queries, width], scaled
  float* sums;     // [queries, width], weighted values so far
  float* keys;     // [width, kKeyTile], transposed
  float* values;   // [kKeyTile, width]
  float* rows;     // [kLanes, width], keys about to be transposed
  float* scores;   // [kRows, kKeyTile]
  float* added;    // [kKeyTile], 0 or minus infinity
  float* largest;  // [queries], scores' maximum so far
  float* totals;   // [queries], sum of weights so far
};

template <class T>
void PackQueries(const Head<T>& head, int64_t begin, int64_t count, const Buffers& to) {
  const int64_t padded = (count + kRows - 1) / kRows * kRows;
  for (int64_t i = 0; i < count; ++i) {
    CopyRow(head.q.At(begin + i), head.depth, head.scale, to.width, to.queries + i * to.width);
  }
  std::fill(to.queries + count * to.width, to.queries + padded * to.width, 0.0f);
  std::fill_n(to.largest, padded, kMinusInfinity);
  std::fill_n(to.totals, padded, 0.0f);
}

// Returns whether `added` matters: keys that are masked or only fill the last vectors.
template <class T>
bool PackKeys(const Head<T>& head, int64_t begin, int64_t count, const Buffers& to) {
  const int64_t step = kColumns * kLanes;
  const int64_t padded = (count + step - 1) / step * step;
  for (int64_t j = 0; j < padded; j += kLanes) {
    for (int64_t i = 0; i < kLanes; ++i) {
      float* row = to.rows + i * to.width;
      if (j + i < count) {
        CopyRow(head.k.At(begin + j + i), head.depth, 1, to.width, row);
      } else {
        std::fill_n(row, to.width, 0.0f);
      }
    }
    TransposeRows(to.rows, to.width, head.depth, 1, to.keys + j, kKeyTile);
  }
  for (int64_t j = 0; j < count; ++j) {
    CopyRow(head.v.At(begin + j), head.depth, 1, to.width, to.values + j * to.width);
  }
  if (padded == count && head.key_mask == nullptr) return false;
  MaskKeys(head, begin, count, padded, to.added);
  return true;
}

// scores[i, j] = sum_d queries[i, d] * keys[d, j] for kRows queries and kColumns vectors of keys.
void ScoreBlock(const float* queries, int64_t width, const float* keys, int64_t depth,
                float* scores) {
  VecF sum[kRows][kColumns];
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) sum[i][j] = hn::Zero(F32());
  }
  for (int64_t d = 0; d < depth; ++d) {
    VecF key[kColumns];
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) key[j] = Load(keys + d * kKeyTile + j * kLanes);
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      const VecF query = hn::Set(F32(), queries[i * width + d]);
      GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
        sum[i][j] = hn::MulAdd(query, key[j], sum[i][j]);
      }
    }
  }
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      Store(sum[i][j], scores + i * kKeyTile + j * kLanes);
    }
  }
}

// sums[i, :] = sums[i, :] * factors[i] + sum_j weights[i, j] * values[j, :] for kRows queries and
// kVectors vectors of channels.
template <int kVectors>
void WeighBlock(const float* weights, const float* values, int64_t width, int64_t keys,
                const float* factors, float* sums) {
  VecF sum[kRows][kVectors];
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    const VecF factor = hn::Set(F32(), factors[i]);
    GESSO_UNROLL for (int v = 0; v < kVectors; ++v) {
      sum[i][v] = hn::Mul(factor, Load(sums + i * width + v * kLanes));
    }
  }
  for (int64_t j = 0; j < keys; ++j) {
    VecF value[kVectors];
    GESSO_UNROLL for (int v = 0; v < kVectors; ++v) value[v] =
        Load(values + j * width + v * kLanes);
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      const VecF weight = hn::Set(F32(), weights[i * kKeyTile + j]);
      GESSO_UNROLL for (int v = 0; v < kVectors; ++v) {
        sum[i][v] = hn::MulAdd(weight, value[v], sum[i][v]);
      }
    }
  }
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    GESSO_UNROLL for (int v = 0; v < kVectors; ++v) Store(sum[i][v], sums + i * width + v * kLanes);
  }
}

// Turns a row of scores into weights exp(score - maximum). Updates the maximum and the total and
// returns the factor by which what was summed before has to shrink.
HWY_INLINE float SoftmaxRow(float* scores, int64_t padded, const float* added, const float* bias,
                            int64_t keys, float& largest, float& total) {
  const F32 d;
  if (bias != nullptr) {
    for (int64_t j = 0; j < keys; ++j) scores[j] += bias[j];
  }
  auto most = hn::Set(d, largest);
  for (int64_t j = 0; j < padded; j += kLanes) {
    auto score = Load(scores + j);
    if (added != nullptr) Store(score = hn::Add(score, Load(added + j)), scores + j);
    most = hn::Max(most, score);
  }
  const float before = largest;
  largest = hn::GetLane(hn::MaxOfLanes(d, most));
  // All keys masked so far: their weights are exp(-inf - 0) = 0.
  const float reference = largest == kMinusInfinity ? 0 : largest;
  const auto subtracted = hn::Set(d, reference);
  auto sum = hn::Zero(d);
  for (int64_t j = 0; j < padded; j += kLanes) {
    const auto weight = Exp(hn::Sub(Load(scores + j), subtracted));
    Store(weight, scores + j);
    sum = hn::Add(sum, weight);
  }
  const float factor = hn::GetLane(Exp(hn::Set(d, before - reference)));
  total = total * factor + hn::GetLane(hn::SumOfLanes(d, sum));
  return factor;
}

// Adds a packed tile of `keys` keys to kRows queries from `row` on; `bias` is that of the first.
void AttendRows(const Buffers& b, int64_t row, int64_t rows, int64_t depth, int64_t keys,
                bool masked, const float* bias, int64_t bias_stride) {
  const int64_t step = kColumns * kLanes;
  const int64_t padded = (keys + step - 1) / step * step;
  const float* queries = b.queries + row * b.width;
  for (int64_t j = 0; j < padded; j += step) {
    ScoreBlock(queries, b.width, b.keys + j, depth, b.scores + j);
  }
  float factors[kRows];
  for (int64_t i = 0; i < kRows; ++i) {
    const float* bias_row = bias == nullptr || i >= rows ? nullptr : bias + i * bias_stride;
    factors[i] = SoftmaxRow(b.scores + i * kKeyTile, padded, masked ? b.added : nullptr, bias_row,
                            keys, b.largest[row + i], b.totals[row + i]);
  }
  float* sums = b.sums + row * b.width;
  int64_t c = 0;
  for (; c + kColumns * kLanes <= b.width; c += kColumns * kLanes) {
    WeighBlock<kColumns>(b.scores, b.values + c, b.width, keys, factors, sums + c);
  }
  if (c < b.width) WeighBlock<1>(b.scores, b.values + c, b.width, keys, factors, sums + c);
}

// Queries begin..begin+count-1 (count <= kQueryBlock) of one head.
template <class T>
void AttendBlock(const Head<T>& head, int64_t begin, int64_t count, const Buffers& b) {
  PackQueries(head, begin, count, b);
  std::fill_n(b.sums, (count + kRows - 1) / kRows * kRows * b.width, 0.0f);
  for (int64_t first = 0; first < head.k.count; first += kKeyTile) {
    const int64_t keys = std::min(kKeyTile, head.k.count - first);
    const bool masked = PackKeys(head, first, keys, b);
    for (int64_t row = 0; row < count; row += kRows) {
      const float* bias =
          head.bias == nullptr ? nullptr : head.bias + (begin + row) * head.k.count + first;
      AttendRows(b, row, count - row, head.depth, keys, masked, bias, head.k.count);
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    StoreShares(b.sums + i * b.width, b.totals[i], head.depth, head.out.At(begin + i));
  }
}

// Block `block` of the queries of head `h` of picture `b`.
void AttentionTask(const AttentionArgs& args, int64_t b, int64_t h, int64_t block) {
  cpu::WithTypes(args.q.dtype, args.q.dtype, [&](auto type, auto) {
    const auto head = HeadOf<decltype(type)>(args, b, h);
    const int64_t begin = block * kQueryBlock;
    AttendBlock(head, begin, std::min(kQueryBlock, head.q.count - begin), Buffers(head.depth));
  });
}

// The windows of line `line` from the top, of head `h` of picture `b`.
void WindowTask(const WindowAttentionArgs& args, int64_t b, int64_t h, int64_t line) {
  cpu::WithTypes(args.q.dtype, args.q.dtype, [&](auto type, auto) {
    const Buffers buffers(args.q.shape[4]);
    ForEachWindow<decltype(type)>(args, b, h, line, [&](const auto& head) {
      for (int64_t begin = 0; begin < head.q.count; begin += kQueryBlock) {
        AttendBlock(head, begin, std::min(kQueryBlock, head.q.count - begin), buffers);
      }
    });
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(AttentionTask);
HWY_EXPORT(WindowTask);

void Attention(Context&, const AttentionArgs& args) {
  const int64_t blocks =
      (args.q.shape[1] + HWY_NAMESPACE::kQueryBlock - 1) / HWY_NAMESPACE::kQueryBlock;
  const int64_t heads = args.q.shape[2];
  ParallelFor(args.q.shape[0] * heads * blocks, [&](int64_t task) {
    HWY_DYNAMIC_DISPATCH(AttentionTask)
    (args, task / blocks / heads, task / blocks % heads, task % blocks);
  });
}

void WindowAttention(Context&, const WindowAttentionArgs& args) {
  const Shape& s = args.q.shape;
  const int64_t lines = WindowCount(s[1], args.window, args.shift);
  ParallelFor(s[0] * s[3] * lines, [&](int64_t task) {
    HWY_DYNAMIC_DISPATCH(WindowTask)
    (args, task / lines / s[3], task / lines % s[3], task % lines);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
