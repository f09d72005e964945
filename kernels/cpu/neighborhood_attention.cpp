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

// A task is a strip of query rows of one head. It walks down the strip by groups of rows, which
// share most of their keys, and keeps the rows of keys and values that they see in a ring.
// Scores: lanes are neighboring queries. Keys are stored transposed, [channel, column], so that the
// j-th key of all lanes is one (unaligned) vector; no score is computed that is not needed. At the
// left and right border, where windows stop moving, the vector's lanes are permuted.
// Softmax: k * k vectors, lane by lane, nothing horizontal.
// Values: lanes are channels; the queries above each other share the values they load.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int kLanes = HWY_LANES(float);
constexpr int64_t kStripRows = 20;     // about as many query rows has a task
constexpr int64_t kStripColumns = 64;  // and columns at most
// Query rows that are computed together, and the key columns whose scores they sum at once: 12 of
// AVX2's 16 registers, 16 of AVX-512's 32.
constexpr int kGroup = kLanes == 16 ? 4 : 3;
constexpr int kMaxColumns = 4;

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

// A thread's buffers for a strip.
struct Buffers {
  template <class T>
  explicit Buffers(const Strip<T>& strip)
      : width((strip.depth + kLanes - 1) / kLanes * kLanes),
        ring(strip.kernel + kGroup - 1),
        blocks(strip.blocks()),
        // Loads of whole vectors begin at up to the last key column.
        key_stride(cpu::Scratch::Rounded(strip.last_column() - strip.first_column() + kLanes) + 16),
        // The padding keeps rows of values apart in the cache.
        value_stride((strip.last_column() - strip.first_column()) * width + 29 * 16),
        block_scores(strip.kernel * strip.kernel * kLanes),
        scratch(Floats()),
        queries(scratch.Take(kGroup * blocks * width * kLanes)),
        keys(scratch.Take(ring * width * key_stride)),
        values(scratch.Take(ring * value_stride)),
        scores(scratch.Take(kGroup * blocks * block_scores)),
        shares(scratch.Take(kGroup * blocks * kLanes)),
        rows(scratch.Take(kLanes * width)) {
    for (int64_t i = 0; i < blocks; ++i) {
      maps[static_cast<size_t>(i)] = MapLanes(strip, strip.x0 + i * kLanes);
    }
  }

  int64_t Floats() const {
    return kGroup * blocks * (width * kLanes + block_scores + kLanes) +
           ring * (width * key_stride + value_stride) + kLanes * width + 6 * 16;
  }
  float* Queries(int64_t r, int64_t block) const {
    return queries + (r * blocks + block) * width * kLanes;
  }
  float* KeyRow(int64_t row) const { return keys + row % ring * width * key_stride; }
  float* ValueRow(int64_t row) const { return values + row % ring * value_stride; }
  float* Scores(int64_t r, int64_t block) const {
    return scores + (r * blocks + block) * block_scores;
  }

  int64_t width;  // depth rounded up to whole vectors
  int64_t ring;   // rows of keys and values that are kept
  int64_t blocks;
  int64_t key_stride, value_stride, block_scores;
  cpu::Scratch scratch;
  float* queries;  // [kGroup, blocks, width, kLanes], transposed and scaled
  float* keys;     // [ring, width, key_stride], transposed
  float* values;   // [ring, columns, width]
  float* scores;   // [kGroup, blocks, kernel * kernel, kLanes]
  float* shares;   // [kGroup, blocks, kLanes]: 1 / sum of weights
  float* rows;     // [kLanes, width]
  std::array<LaneMap, kStripColumns / kLanes> maps;
};

template <class T>
void PackQueryRow(const Strip<T>& strip, int64_t y, int64_t r, const Buffers& b) {
  const int64_t across = strip.q_strides[2];
  const T* q = strip.q + y * strip.q_strides[1] + strip.x0 * across;
  const int64_t count = strip.x1 - strip.x0;
  for (int64_t x = 0; x < count; x += kLanes, q += kLanes * across) {
    TransposeTokens(q, across, count - x, strip.depth, strip.scale, b.rows,
                    b.Queries(r, x / kLanes), kLanes);
  }
}

template <class T>
void PackKeyRow(const Strip<T>& strip, int64_t row, const Buffers& b) {
  const int64_t first = strip.first_column();
  const int64_t count = strip.last_column() - first;
  const int64_t across = strip.k_strides[2];
  const T* k = strip.k + row * strip.k_strides[1] + first * across;
  for (int64_t x = 0; x < count; x += kLanes, k += kLanes * across) {
    TransposeTokens(k, across, count - x, strip.depth, 1, b.rows, b.KeyRow(row) + x, b.key_stride);
  }
  const T* v = strip.v + row * strip.v_strides[1] + first * strip.v_strides[2];
  float* values = b.ValueRow(row);
  for (int64_t x = 0; x < count; ++x, v += strip.v_strides[2], values += b.width) {
    CopyRow(v, strip.depth, 1, b.width, values);
  }
}

// scores[r][j] = sum_d queries[r, d] * keys[d, base + j] for kRows query rows, kColumns keys of a
// row and one vector of queries.
template <int kRows, int kColumns, bool kShifted>
void ScoreColumns(const float* queries, int64_t query_stride, const float* keys, int64_t key_stride,
                  int64_t depth, const LaneMap& map, float* const* scores) {
  const F32 d;
  const auto lanes = hn::SetTableIndices(d, map.lane);
  VecF sum[kRows][kColumns];
  GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) sum[r][j] = hn::Zero(d);
  }
  for (int64_t c = 0; c < depth; ++c) {
    VecF query[kRows];
    GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
      query[r] = hn::Load(d, queries + r * query_stride + c * kLanes);
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
    GESSO_UNROLL for (int j = 0; j < kColumns; ++j) Store(sum[r][j], scores[r] + j * kLanes);
  }
}

using ScoreFunction = void (*)(const float*, int64_t, const float*, int64_t, int64_t,
                               const LaneMap&, float* const*);

// [rows - 1][columns - 1]
template <bool kShifted, size_t... kIndex>
constexpr std::array<ScoreFunction, sizeof...(kIndex)> ScoreFunctions(
    std::index_sequence<kIndex...>) {
  return {ScoreColumns<static_cast<int>(kIndex / kMaxColumns) + 1,
                       static_cast<int>(kIndex % kMaxColumns) + 1, kShifted>...};
}

// Consecutive key rows, side by side in the ring, that the same query rows of a group see.
struct Segment {
  int64_t begin, end;  // key rows
  int first, last;     // query rows first..last-1
};

// The query rows y.. that are computed together, and the key rows that they see.
struct Group {
  int64_t y;
  int count;
  std::array<int64_t, kGroup> start;  // first key row of each
  int64_t end;                        // behind the last key row
  // At most: one query row more or less at a time, and the ring's end.
  std::array<Segment, 2 * kGroup> segments;
  int segment_count;
};

template <class T>
Group MakeGroup(const Strip<T>& strip, int64_t y, int64_t ring) {
  Group group{};
  group.y = y;
  group.count = static_cast<int>(std::min<int64_t>(kGroup, strip.y1 - y));
  for (int r = 0; r < group.count; ++r) {
    group.start[static_cast<size_t>(r)] = strip.RowStart(y + r);
  }
  group.end = strip.RowStart(y + group.count - 1) + strip.kernel;
  int first = 0;
  int last = 0;
  for (int64_t row = group.start[0]; row < group.end; ++row) {
    const int first_before = first;
    const int last_before = last;
    while (group.start[static_cast<size_t>(first)] + strip.kernel <= row) ++first;
    while (last < group.count && group.start[static_cast<size_t>(last)] <= row) ++last;
    if (first != first_before || last != last_before || row % ring == 0) {
      group.segments[static_cast<size_t>(group.segment_count++)] = {row, row, first, last};
    }
    ++group.segments[static_cast<size_t>(group.segment_count) - 1].end;
  }
  return group;
}

// All scores of a group against key row `row`.
template <class T>
void ScoreKeyRow(const Strip<T>& strip, const Buffers& b, const Group& group, int64_t row,
                 int first, int last) {
  using Index = std::make_index_sequence<kGroup * kMaxColumns>;
  static constexpr auto kPermuted = ScoreFunctions<false>(Index());
  static constexpr auto kShifted = ScoreFunctions<true>(Index());
  const int64_t parts = (strip.kernel + kMaxColumns - 1) / kMaxColumns;
  for (int64_t block = 0; block < b.blocks; ++block) {
    const LaneMap& map = b.maps[static_cast<size_t>(block)];
    const auto& functions = map.shifted ? kShifted : kPermuted;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t from = strip.kernel * part / parts;
      const int64_t columns = strip.kernel * (part + 1) / parts - from;
      float* scores[kGroup];
      for (int r = first; r < last; ++r) {
        const int64_t key = (row - group.start[static_cast<size_t>(r)]) * strip.kernel + from;
        scores[r - first] = b.Scores(r, block) + key * kLanes;
      }
      const int64_t index = (last - first - 1) * kMaxColumns + columns - 1;
      functions[static_cast<size_t>(index)](b.Queries(first, block), b.blocks * b.width * kLanes,
                                            b.KeyRow(row) + map.base + from, b.key_stride,
                                            strip.depth, map, scores);
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

// sums[r, :] += sum_j weights[r][j] * values[j, :] over rows of keys, for r in kFirst..kLast-1.
// `weights` move on to what follows.
template <int kFirst, int kLast, int kRows, int kVectors>
HWY_INLINE void WeighKeyRows(const Buffers& b, const float* values, int64_t rows, int64_t kernel,
                             const float* (&weights)[kRows], VecF (&sums)[kRows][kVectors]) {
  for (int64_t row = 0; row < rows; ++row, values += b.value_stride) {
    for (int64_t j = 0; j < kernel; ++j) {
      VecF weight[kRows];
      GESSO_UNROLL for (int r = kFirst; r < kLast; ++r) {
        weight[r] = hn::Set(F32(), *weights[r]);
        weights[r] += kLanes;
      }
      GESSO_UNROLL for (int v = 0; v < kVectors; ++v) {
        const VecF value = Load(values + j * b.width + v * kLanes);
        GESSO_UNROLL for (int r = kFirst; r < kLast; ++r) {
          sums[r][v] = hn::MulAdd(weight[r], value, sums[r][v]);
        }
      }
    }
  }
}

// The same for the rows of a segment. Each of its possible query rows first..last-1 gets code of
// its own, so that the sums stay in registers.
template <int kFirst, int kLast, int kRows, int kVectors>
HWY_INLINE void WeighSegment(const Buffers& b, const Segment& segment, int64_t at, int64_t kernel,
                             const float* (&weights)[kRows], VecF (&sums)[kRows][kVectors]) {
  if (segment.first == kFirst && segment.last == kLast) {
    WeighKeyRows<kFirst, kLast>(b, b.ValueRow(segment.begin) + at, segment.end - segment.begin,
                                kernel, weights, sums);
  } else if constexpr (kLast > 1) {
    constexpr bool kFewer = kFirst + 1 < kLast;
    WeighSegment<kFewer ? kFirst + 1 : 0, kFewer ? kLast : kLast - 1>(b, segment, at, kernel,
                                                                      weights, sums);
  }
}

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

// Channels c.. of the query column x of a group.
template <int kRows, int kVectors, class T>
void WeighQuery(const Strip<T>& strip, const Buffers& b, const Group& group, int64_t x, int64_t c) {
  const int64_t block = (x - strip.x0) / kLanes;
  const int64_t lane = (x - strip.x0) % kLanes;
  const int64_t at = (strip.ColumnStart(x) - strip.first_column()) * b.width + c;
  VecF sums[kRows][kVectors];
  const float* weights[kRows];
  GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
    weights[r] = b.Scores(r, block) + lane;
    GESSO_UNROLL for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(F32());
  }
  for (int i = 0; i < group.segment_count; ++i) {
    WeighSegment<0, kRows>(b, group.segments[static_cast<size_t>(i)], at, strip.kernel, weights,
                           sums);
  }
  GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
    T* out = strip.out + (group.y + r) * strip.out_strides[1] + x * strip.out_strides[2];
    StoreShare(sums[r], b.shares[(r * b.blocks + block) * kLanes + lane], strip.depth - c, out + c);
  }
}

// Asks for column x of what the next group will pack, while this one computes.
template <class T>
HWY_INLINE void PrefetchNext(const Strip<T>& strip, const Group& group, int64_t x) {
  const int64_t next = group.y + kGroup;
  for (int64_t y = next; y < std::min(next + kGroup, strip.y1); ++y) {
    PrefetchRow(strip.q + y * strip.q_strides[1] + x * strip.q_strides[2], strip.depth);
    const int64_t row = strip.RowStart(y) + strip.kernel - 1;
    if (row < group.end) continue;
    PrefetchRow(strip.k + row * strip.k_strides[1] + x * strip.k_strides[2], strip.depth);
    PrefetchRow(strip.v + row * strip.v_strides[1] + x * strip.v_strides[2], strip.depth);
  }
}

// The results of a group of kRows query rows from their weights.
template <int kRows, class T>
void WeighRows(const Strip<T>& strip, const Buffers& b, const Group& group) {
  for (int64_t x = strip.x0; x < strip.x1; ++x) {
    PrefetchNext(strip, group, x);
    int64_t c = 0;
    for (; c + 4 * kLanes <= b.width; c += 4 * kLanes) {
      WeighQuery<kRows, 4>(strip, b, group, x, c);
    }
    for (; c + 2 * kLanes <= b.width; c += 2 * kLanes) {
      WeighQuery<kRows, 2>(strip, b, group, x, c);
    }
    if (c < b.width) WeighQuery<kRows, 1>(strip, b, group, x, c);
  }
}

template <int kRows, class T>
void WeighGroup(const Strip<T>& strip, const Buffers& b, const Group& group) {
  if (group.count == kRows) {
    WeighRows<kRows>(strip, b, group);
  } else if constexpr (kRows > 1) {
    WeighGroup<kRows - 1>(strip, b, group);
  }
}

template <class T>
void AttendStrip(const Strip<T>& strip) {
  const Buffers b(strip);
  int64_t packed = strip.RowStart(strip.y0);  // rows before this one are in the ring
  for (int64_t y = strip.y0; y < strip.y1; y += kGroup) {
    const Group group = MakeGroup(strip, y, b.ring);
    for (int r = 0; r < group.count; ++r) PackQueryRow(strip, y + r, r, b);
    for (; packed < group.end; ++packed) PackKeyRow(strip, packed, b);
    for (int i = 0; i < group.segment_count; ++i) {
      const Segment& segment = group.segments[static_cast<size_t>(i)];
      for (int64_t row = segment.begin; row < segment.end; ++row) {
        ScoreKeyRow(strip, b, group, row, segment.first, segment.last);
      }
    }
    for (int64_t i = 0; i < group.count * b.blocks; ++i) {
      SoftmaxLanes(b.Scores(0, i), strip.kernel * strip.kernel, b.shares + i * kLanes);
    }
    WeighGroup<kGroup>(strip, b, group);
  }
}

// Strip `down` of `strips` of the columns from x0 on, of head `h` of picture `b`.
void NeighborhoodTask(const NeighborhoodAttentionArgs& args, int64_t b, int64_t h, int64_t down,
                      int64_t strips, int64_t x0) {
  cpu::WithTypes(args.q.dtype, args.q.dtype, [&](auto type, auto) {
    using T = decltype(type);
    const Shape& s = args.q.shape;
    const auto head = [&](auto view) {
      return view.template Data<T>() + b * view.strides[0] + h * view.strides[3];
    };
    // All strips but the last are whole groups.
    const int64_t y0 = s[1] * down / strips / kGroup * kGroup;
    const int64_t y1 = down + 1 == strips ? s[1] : s[1] * (down + 1) / strips / kGroup * kGroup;
    AttendStrip(Strip<T>{head(args.q), head(args.k), head(args.v), head(args.out), args.q.strides,
                         args.k.strides, args.v.strides, args.out.strides, s[1], s[2], s[4],
                         args.kernel_size, args.scale, y0, y1, x0,
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
  const int64_t strips = (s[1] + kStripRows - 1) / kStripRows;
  const int64_t across = (s[2] + kStripColumns - 1) / kStripColumns;
  ParallelFor(s[0] * s[3] * strips * across, [&](int64_t task) {
    const int64_t head = task / (strips * across);
    HWY_DYNAMIC_DISPATCH(NeighborhoodTask)
    (args, head / s[3], head % s[3], task / across % strips, strips, task % across * kStripColumns);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
