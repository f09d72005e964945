#include <algorithm>
#include <array>
#include <utility>

#include "kernels/core/parallel.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/neighborhood_attention.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/transpose-inl.h"

// A task is a strip of query rows of one head. It walks down the strip by pairs of rows, which
// share most of their keys, and keeps the rows of keys and values that they see in a ring.
// Scores: lanes are neighboring queries. Keys are stored transposed, [channel, column], so that the
// j-th key of all lanes is one (unaligned) vector; no score is computed that is not needed. At the
// left and right border, where windows stop moving, the vector's lanes are permuted.
// Softmax: k * k vectors, lane by lane, nothing horizontal.
// Values: lanes are channels; two queries above each other share the values they load.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int kLanes = HWY_LANES(float);
constexpr int64_t kStripRows = 16;     // query rows of a task
constexpr int64_t kStripColumns = 64;  // and its columns at most
constexpr int64_t kPair = 2;           // query rows that are computed together
// Key columns whose scores of two query rows are summed at once: 8 or 14 registers.
constexpr int kMaxColumns = kLanes == 16 ? 7 : 4;

// First of `kernel` keys that the query `at` sees along an axis of `length` tokens.
inline int64_t WindowStart(int64_t at, int64_t kernel, int64_t length) {
  return std::clamp<int64_t>(at - kernel / 2, 0, length - kernel);
}

// Part of one head of one picture: query rows y0..y1-1, columns x0..x1-1.
template <class T>
struct Strip {
  const T* q;  // element [0, 0] of the head
  const T* k;
  const T* v;
  T* out;
  Strides q_strides, k_strides, v_strides, out_strides;  // of [B, Y, X, H, D]
  int64_t rows, columns;                                 // of the whole grid
  int64_t depth;
  int64_t kernel;
  float scale;
  int64_t y0, y1, x0, x1;

  int64_t RowStart(int64_t y) const { return WindowStart(y, kernel, rows); }
  int64_t ColumnStart(int64_t x) const { return WindowStart(x, kernel, columns); }
  // Key columns that the strip sees.
  int64_t first_column() const { return ColumnStart(x0); }
  int64_t last_column() const { return ColumnStart(x1 - 1) + kernel; }
  int64_t blocks() const { return (x1 - x0 + kLanes - 1) / kLanes; }
};

// A thread's buffers for a strip.
struct Buffers {
  template <class T>
  explicit Buffers(const Strip<T>& strip)
      : width((strip.depth + kLanes - 1) / kLanes * kLanes),
        ring(strip.kernel + kPair - 1),
        query_stride(strip.blocks() * kLanes),
        // Loads of whole vectors begin at up to the last key column.
        key_stride(cpu::Scratch::Rounded(strip.last_column() - strip.first_column() + kLanes) + 16),
        // The padding keeps rows of values apart in the cache.
        value_stride((strip.last_column() - strip.first_column()) * width + 29 * 16),
        block_scores(strip.kernel * strip.kernel * kLanes),
        scratch(Floats(strip)),
        queries(scratch.Take(kPair * width * query_stride)),
        keys(scratch.Take(ring * width * key_stride)),
        values(scratch.Take(ring * value_stride)),
        scores(scratch.Take(kPair * strip.blocks() * block_scores)),
        shares(scratch.Take(kPair * query_stride)),
        rows(scratch.Take(kLanes * width)) {}

  template <class T>
  int64_t Floats(const Strip<T>& strip) const {
    return kPair * width * query_stride + ring * (width * key_stride + value_stride) +
           kPair * strip.blocks() * block_scores + kPair * query_stride + kLanes * width + 6 * 16;
  }
  float* KeyRow(int64_t row) const { return keys + row % ring * width * key_stride; }
  float* ValueRow(int64_t row) const { return values + row % ring * value_stride; }

  int64_t width;  // depth rounded up to whole vectors
  int64_t ring;   // rows of keys and values that are kept
  int64_t query_stride, key_stride, value_stride, block_scores;
  cpu::Scratch scratch;
  float* queries;  // [kPair, width, query_stride], transposed and scaled
  float* keys;     // [ring, width, key_stride], transposed
  float* values;   // [ring, columns, width]
  float* scores;   // [kPair, blocks, kernel * kernel, kLanes]
  float* shares;   // [kPair, query_stride]: 1 / sum of weights
  float* rows;     // [kLanes, width]
};

// `count` tokens `across` elements apart, transposed to [depth, stride]. Columns behind the last
// token, up to whole vectors, are zeros.
template <class T>
void TransposeTokens(const T* from, int64_t across, int64_t count, int64_t depth, float factor,
                     const Buffers& b, float* to, int64_t stride) {
  for (int64_t x = 0; x < count; x += kLanes) {
    for (int64_t i = 0; i < kLanes; ++i) {
      float* row = b.rows + i * b.width;
      if (x + i < count) {
        CopyRow(from + (x + i) * across, depth, factor, b.width, row);
      } else {
        std::fill_n(row, b.width, 0.0f);
      }
    }
    TransposeRows(b.rows, b.width, depth, to + x, stride);
  }
}

template <class T>
void PackKeyRow(const Strip<T>& strip, int64_t row, const Buffers& b) {
  const int64_t first = strip.first_column();
  const int64_t count = strip.last_column() - first;
  const T* k = strip.k + row * strip.k_strides[1] + first * strip.k_strides[2];
  TransposeTokens(k, strip.k_strides[2], count, strip.depth, 1, b, b.KeyRow(row), b.key_stride);
  const T* v = strip.v + row * strip.v_strides[1] + first * strip.v_strides[2];
  for (int64_t x = 0; x < count; ++x) {
    CopyRow(v + x * strip.v_strides[2], strip.depth, 1, b.width, b.ValueRow(row) + x * b.width);
  }
}

// Where the lanes of a block of queries find their keys: lane i of the j-th key is element
// base + j + lane[i] of a transposed row.
struct LaneMap {
  int64_t base;
  bool shifted;  // lane[i] == i
  HWY_ALIGN int32_t lane[kLanes];
};

template <class T>
LaneMap MapLanes(const Strip<T>& strip, int64_t x) {
  LaneMap map;
  const int64_t start = strip.ColumnStart(x);
  map.base = start - strip.first_column();
  map.shifted = true;
  for (int i = 0; i < kLanes; ++i) {
    const int64_t query = std::min(x + i, strip.x1 - 1);
    map.lane[i] = static_cast<int32_t>(strip.ColumnStart(query) - start);
    map.shifted = map.shifted && (map.lane[i] == i || x + i >= strip.x1);
  }
  return map;
}

// scores[r, j] = sum_d queries[r, d] * keys[d, base + j] for kRows query rows, kColumns keys of a
// row and one vector of queries.
template <int kRows, int kColumns, bool kShifted>
void ScoreColumns(const float* queries, int64_t row_stride, int64_t query_stride, const float* keys,
                  int64_t key_stride, int64_t depth, const LaneMap& map, float* scores,
                  int64_t score_stride) {
  const F32 d;
  const auto lanes = hn::SetTableIndices(d, map.lane);
  VecF sum[kRows][kColumns];
  GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) sum[r][j] = hn::Zero(d);
  }
  for (int64_t c = 0; c < depth; ++c) {
    VecF query[kRows];
    GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
      query[r] = Load(queries + r * row_stride + c * query_stride);
    }
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      VecF key = Load(keys + c * key_stride + j);
      if constexpr (!kShifted) key = hn::TableLookupLanes(key, lanes);
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        sum[r][j] = hn::MulAdd(query[r], key, sum[r][j]);
      }
    }
  }
  GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) {
      Store(sum[r][j], scores + r * score_stride + j * kLanes);
    }
  }
}

using ScoreFunction = void (*)(const float*, int64_t, int64_t, const float*, int64_t, int64_t,
                               const LaneMap&, float*, int64_t);

template <int kRows, bool kShifted, size_t... kIndex>
constexpr std::array<ScoreFunction, sizeof...(kIndex)> ScoreFunctions(
    std::index_sequence<kIndex...>) {
  return {ScoreColumns<kRows, static_cast<int>(kIndex) + 1, kShifted>...};
}

// All scores of query rows y..y+count-1 against key row `row`, which rows first..last-1 of them
// see.
template <class T>
void ScoreKeyRow(const Strip<T>& strip, const Buffers& b, int64_t y, int64_t row, int64_t first,
                 int64_t last) {
  using Index = std::make_index_sequence<kMaxColumns>;
  static constexpr std::array<ScoreFunction, kMaxColumns> kFunctions[2][kPair] = {
      {ScoreFunctions<1, false>(Index()), ScoreFunctions<2, false>(Index())},
      {ScoreFunctions<1, true>(Index()), ScoreFunctions<2, true>(Index())}};
  const int64_t row_stride = b.width * b.query_stride;
  for (int64_t block = 0; block < strip.blocks(); ++block) {
    const LaneMap map = MapLanes(strip, strip.x0 + block * kLanes);
    const auto& functions = kFunctions[map.shifted ? 1 : 0][last - first - 1];
    // The two rows' windows may begin at different key rows.
    const int64_t skew = last - first == kPair
                             ? (strip.RowStart(y) - strip.RowStart(y + 1)) * strip.kernel * kLanes
                             : 0;
    float* scores = b.scores + (first * strip.blocks() + block) * b.block_scores +
                    (row - strip.RowStart(y + first)) * strip.kernel * kLanes;
    const int64_t parts = (strip.kernel + kMaxColumns - 1) / kMaxColumns;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t from = strip.kernel * part / parts;
      const int64_t columns = strip.kernel * (part + 1) / parts - from;
      functions[static_cast<size_t>(columns - 1)](
          b.queries + first * row_stride + block * kLanes, row_stride, b.query_stride,
          b.KeyRow(row) + map.base + from, b.key_stride, strip.depth, map, scores + from * kLanes,
          strip.blocks() * b.block_scores + skew);
    }
  }
}

// Scores of one vector of queries become weights; their sums' reciprocals go to `shares`.
HWY_INLINE void SoftmaxLanes(float* scores, int64_t count, float* shares) {
  const F32 d;
  auto most = Load(scores);
  for (int64_t i = 1; i < count; ++i) most = hn::Max(most, Load(scores + i * kLanes));
  auto sum = hn::Zero(d);
  for (int64_t i = 0; i < count; ++i) {
    const auto weight = Exp(hn::Sub(Load(scores + i * kLanes), most));
    Store(weight, scores + i * kLanes);
    sum = hn::Add(sum, weight);
  }
  Store(hn::Div(hn::Set(d, 1.0f), sum), shares);
}

// sums[r, :] += sum_j weights[r, j] * values[j, :] over a row of keys.
template <int kRows, int kVectors>
HWY_INLINE void WeighRow(const float* const (&weights)[kRows], const float* values, int64_t width,
                         int64_t kernel, VecF (&sums)[kRows][kVectors]) {
  for (int64_t j = 0; j < kernel; ++j) {
    VecF value[kVectors];
    GESSO_UNROLL for (int v = 0; v < kVectors; ++v) value[v] =
        Load(values + j * width + v * kLanes);
    GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
      const VecF weight = hn::Set(F32(), weights[r][j * kLanes]);
      GESSO_UNROLL for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = hn::MulAdd(weight, value[v], sums[r][v]);
      }
    }
  }
}

// A query row's part in WeighQuery.
template <class T>
struct Weighing {
  int64_t start;         // first key row of its window
  const float* weights;  // of the query's lane: [kernel, kernel, kLanes]
  float share;
  T* out;
};

template <int kVectors, class T>
HWY_INLINE void StoreShare(const VecF (&sums)[kVectors], float share, int64_t channels, T* out) {
  const VecF factor = hn::Set(F32(), share);
  GESSO_UNROLL for (int v = 0; v < kVectors; ++v) {
    const int64_t left = channels - v * kLanes;
    const VecF value = hn::Mul(factor, sums[v]);
    if (left >= kLanes) {
      Store(value, out + v * kLanes);
    } else if (left > 0) {
      StorePart(value, out + v * kLanes, left);
    }
  }
}

// kRows query rows (their windows equal, or the second's one row lower), channels c.. of a query
// column whose window begins at key column `column`.
template <int kRows, int kVectors, class T>
void WeighQuery(const Strip<T>& strip, const Buffers& b, int64_t column, int64_t c,
                const Weighing<T> (&rows)[kRows]) {
  const int64_t at = column * b.width + c;
  const int64_t step = strip.kernel * kLanes;
  VecF sums[kRows][kVectors];
  GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
    GESSO_UNROLL for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(F32());
  }
  const int64_t first = rows[0].start;
  const int64_t last = rows[kRows - 1].start;  // the first row that all see
  const auto weights = [&](int r, int64_t row) {
    return rows[r].weights + (row - rows[r].start) * step;
  };
  const auto one = [&](int r, int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t row = begin; row < end; ++row) {
      const float* const of_row[1] = {weights(r, row)};
      WeighRow(of_row, b.ValueRow(row) + at, b.width, strip.kernel,
               reinterpret_cast<VecF(&)[1][kVectors]>(sums[r]));
    }
  };
  one(0, first, last);
  for (int64_t row = last; row < first + strip.kernel; ++row) {
    const float* of_rows[kRows];
    for (int r = 0; r < kRows; ++r) of_rows[r] = weights(r, row);
    WeighRow<kRows, kVectors>(of_rows, b.ValueRow(row) + at, b.width, strip.kernel, sums);
  }
  one(kRows - 1, first + strip.kernel, last + strip.kernel);
  for (int r = 0; r < kRows; ++r) {
    StoreShare(sums[r], rows[r].share, strip.depth - c, rows[r].out + c);
  }
}

// The results of query rows y..y+kRows-1 from their weights.
template <int kRows, class T>
void WeighRows(const Strip<T>& strip, const Buffers& b, int64_t y) {
  for (int64_t x = strip.x0; x < strip.x1; ++x) {
    const int64_t block = (x - strip.x0) / kLanes;
    const int64_t lane = (x - strip.x0) % kLanes;
    Weighing<T> rows[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      rows[r] = {strip.RowStart(y + r),
                 b.scores + (r * strip.blocks() + block) * b.block_scores + lane,
                 b.shares[r * b.query_stride + x - strip.x0],
                 strip.out + (y + r) * strip.out_strides[1] + x * strip.out_strides[2]};
    }
    const int64_t column = strip.ColumnStart(x) - strip.first_column();
    int64_t c = 0;
    for (; c + 4 * kLanes <= b.width; c += 4 * kLanes) {
      WeighQuery<kRows, 4>(strip, b, column, c, rows);
    }
    for (; c + 2 * kLanes <= b.width; c += 2 * kLanes) {
      WeighQuery<kRows, 2>(strip, b, column, c, rows);
    }
    if (c < b.width) WeighQuery<kRows, 1>(strip, b, column, c, rows);
  }
}

template <class T>
void AttendStrip(const Strip<T>& strip) {
  const Buffers b(strip);
  int64_t packed = strip.RowStart(strip.y0);  // rows before this one are in the ring
  for (int64_t y = strip.y0; y < strip.y1; y += kPair) {
    const int64_t count = std::min(kPair, strip.y1 - y);
    const int64_t last_start = strip.RowStart(y + count - 1);
    for (; packed < last_start + strip.kernel; ++packed) PackKeyRow(strip, packed, b);
    for (int64_t r = 0; r < count; ++r) {
      TransposeTokens(strip.q + (y + r) * strip.q_strides[1] + strip.x0 * strip.q_strides[2],
                      strip.q_strides[2], strip.x1 - strip.x0, strip.depth, strip.scale, b,
                      b.queries + r * b.width * b.query_stride, b.query_stride);
    }
    const int64_t first_start = strip.RowStart(y);
    for (int64_t row = first_start; row < last_start + strip.kernel; ++row) {
      const int64_t first = row < first_start + strip.kernel ? 0 : 1;
      const int64_t last = row < last_start ? 1 : count;
      ScoreKeyRow(strip, b, y, row, first, last);
    }
    for (int64_t i = 0; i < count * strip.blocks(); ++i) {
      SoftmaxLanes(b.scores + i * b.block_scores, strip.kernel * strip.kernel,
                   b.shares + i * kLanes);
    }
    count == kPair ? WeighRows<kPair>(strip, b, y) : WeighRows<1>(strip, b, y);
  }
}

void NeighborhoodTask(const NeighborhoodAttentionArgs& args, int64_t b, int64_t h, int64_t y0,
                      int64_t x0) {
  cpu::WithTypes(args.q.dtype, args.q.dtype, [&](auto type, auto) {
    using T = decltype(type);
    const Shape& s = args.q.shape;
    const auto head = [&](auto view) {
      return view.template Data<T>() + b * view.strides[0] + h * view.strides[3];
    };
    AttendStrip(Strip<T>{head(args.q), head(args.k), head(args.v), head(args.out), args.q.strides,
                         args.k.strides, args.v.strides, args.out.strides, s[1], s[2], s[4],
                         args.kernel_size, args.scale, y0, std::min(y0 + kStripRows, s[1]), x0,
                         std::min(x0 + kStripColumns, s[2])});
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(NeighborhoodTask);

void NeighborhoodAttention(Context&, const NeighborhoodAttentionArgs& args) {
  using HWY_NAMESPACE::kStripColumns;
  using HWY_NAMESPACE::kStripRows;
  const Shape& s = args.q.shape;
  const int64_t down = (s[1] + kStripRows - 1) / kStripRows;
  const int64_t across = (s[2] + kStripColumns - 1) / kStripColumns;
  ParallelFor(s[0] * s[3] * down * across, [&](int64_t task) {
    const int64_t strip = task % (down * across);
    const int64_t head = task / (down * across);
    HWY_DYNAMIC_DISPATCH(NeighborhoodTask)
    (args, head / s[3], head % s[3], strip / across * kStripRows, strip % across * kStripColumns);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
