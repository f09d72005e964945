#include "kernels/cpu/attention_amx.h"

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_amx.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/tiles_bf16-inl.h"
#include "kernels/cpu/transpose-inl.h"

// Online softmax over tiles of keys, as in attention.cpp. Keys and values are packed as the weights
// of a product are (bf16_panels.h), once for a block of queries. The scores of a group of queries
// become weights of bfloat16 in place; the sum they are divided by is that of the rounded weights,
// so that equal values stay what they are.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3

constexpr int64_t kQueryBlock = 256;  // queries that share packed keys and values, at most
constexpr int64_t kKeyTile = 256;
// Lines whole KiB apart would fall into few sets of the cache.
constexpr int64_t kScoreStride = kKeyTile + kLanes;
constexpr int64_t kRowsAhead = 32;  // from the row that is packed to the one that is asked for
constexpr float kLog2E = 1.44269504f;

// A thread's buffers for one block of queries and one tile of keys.
struct PairBuffers {
  explicit PairBuffers(int64_t depth)
      : width(cpu::PaddedDepth(depth)),
        scratch(Floats(width)),
        queries(TakePairs(kQueryBlock * width)),
        keys(TakePairs(kKeyTile * width)),
        values(TakePairs(kKeyTile * width)),
        rows(TakePairs(kLanes * width)),
        sums(scratch.Take(kQueryBlock * width)),
        scores(scratch.Take(kTileRows * kScoreStride)),
        added(scratch.Take(kKeyTile)),
        largest(scratch.Take(kQueryBlock)),
        totals(scratch.Take(kQueryBlock * kLanes)) {}

  static int64_t Floats(int64_t width) {
    const int64_t pairs = (kQueryBlock + 2 * kKeyTile + kLanes) * width / 2;
    return pairs + kQueryBlock * (width + 1 + kLanes) + kTileRows * kScoreStride + kKeyTile;
  }
  BFloat16* TakePairs(int64_t count) {
    return reinterpret_cast<BFloat16*>(scratch.Take(count / 2));
  }

  int64_t width;  // depth rounded up to whole panels
  cpu::Scratch scratch;
  BFloat16* queries;  // [queries, width]
  BFloat16* keys;     // [kKeyTile / kPairWidth, width / 2, kPairWidth, 2]
  BFloat16* values;   // [width / kPairWidth, keys / 2, kPairWidth, 2]
  BFloat16* rows;     // [kLanes, width], keys about to be transposed
  float* sums;        // [queries, width], weighted values so far
  float* scores;      // [kTileRows, kScoreStride]
  float* added;       // [kKeyTile], 0 or minus infinity
  float* largest;     // [queries], scores' maximum so far
  float* totals;      // [queries, kLanes], which add up to the sum of weights so far
};

// A packed tile of keys.
struct KeyTile {
  int64_t begin;
  int64_t keys;
  bool masked;  // whether `added` matters: keys that are masked or only fill the last panel

  int64_t padded() const { return cpu::PaddedDepth(keys); }
};

// `depth` elements, then zeros up to `width`.
HWY_INLINE void CopyPadded(const BFloat16* from, int64_t depth, int64_t width, BFloat16* to) {
  const hn::ScalableTag<uint16_t> d;
  const auto* bits = reinterpret_cast<const uint16_t*>(from);
  auto* out = reinterpret_cast<uint16_t*>(to);
  for (int64_t c = 0; c < width; c += 2 * kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(depth - c));
    hn::StoreU(hn::MaskedLoad(mask, d, bits + c), d, out + c);
  }
}

void PackQueries(const Head<BFloat16>& head, int64_t begin, int64_t count, const PairBuffers& to) {
  for (int64_t i = 0; i < count; ++i) {
    CopyPadded(head.q.At(begin + i), head.depth, to.width, to.queries + i * to.width);
  }
  std::fill_n(to.largest, count, kMinusInfinity);
  std::fill_n(to.totals, count * kLanes, 0.0f);
}

// Rows of a head lie apart, so that the CPU does not see by itself which are next.
HWY_INLINE void AskForRows(const Tokens<const BFloat16>& tokens, int64_t begin, int64_t count,
                           int64_t depth) {
  const int64_t end = std::min(begin + count, tokens.count);
  for (int64_t i = begin; i < end; ++i) PrefetchRow(tokens.At(i), depth);
}

// Panels of kPairWidth keys, whose elements in pairs are transposed as if they were floats.
void PackKeys(const Head<BFloat16>& head, const KeyTile& tile, const PairBuffers& to) {
  for (int64_t j = 0; j < tile.padded(); j += kLanes) {
    AskForRows(head.k, tile.begin + j + kRowsAhead, kLanes, head.depth);
    for (int64_t i = 0; i < kLanes; ++i) {
      BFloat16* row = to.rows + i * to.width;
      if (j + i < tile.keys) {
        CopyPadded(head.k.At(tile.begin + j + i), head.depth, to.width, row);
      } else {
        std::fill_n(row, to.width, BFloat16());
      }
    }
    const int64_t pairs = to.width / 2;
    auto* panel =
        reinterpret_cast<float*>(to.keys + j / cpu::kPairWidth * cpu::kPairWidth * to.width);
    TransposeColumns(reinterpret_cast<const float*>(to.rows), pairs, pairs,
                     [&](VecF column, int64_t c) HWY_ATTR {
                       Store(column, panel + c * cpu::kPairWidth + j % cpu::kPairWidth);
                     });
  }
}

// Panels of kPairWidth channels, in which two keys' elements lie next to each other.
void PackValues(const Head<BFloat16>& head, const KeyTile& tile, const PairBuffers& to) {
  const int64_t panel = tile.padded() * cpu::kPairWidth;
  for (int64_t j = 0; j < tile.padded(); j += 2) {
    AskForRows(head.v, tile.begin + j + kRowsAhead, 2, head.depth);
    const auto row = [&](int64_t key) {
      return key < tile.keys ? reinterpret_cast<const uint16_t*>(head.v.At(tile.begin + key))
                             : nullptr;
    };
    const uint16_t* even = row(j);
    const uint16_t* odd = row(j + 1);
    for (int64_t c = 0; c < to.width; c += kLanes) {
      const int64_t left = std::max<int64_t>(head.depth - c, 0);
      const auto mask = hn::FirstN(U16(), static_cast<size_t>(left));
      const auto load = [&](const uint16_t* from) HWY_ATTR {
        if (from == nullptr) return hn::Zero(U32());
        return hn::PromoteTo(U32(), hn::MaskedLoad(mask, U16(), from + c));
      };
      auto* at =
          to.values + c / cpu::kPairWidth * panel + j * cpu::kPairWidth + c % cpu::kPairWidth * 2;
      hn::StoreU(hn::Or(load(even), hn::ShiftLeft<16>(load(odd))), U32(),
                 reinterpret_cast<uint32_t*>(at));
    }
  }
}

// Keys from `begin` on.
KeyTile PackTile(const Head<BFloat16>& head, int64_t begin, const PairBuffers& to) {
  KeyTile tile{begin, std::min(kKeyTile, head.k.count - begin), false};
  PackKeys(head, tile, to);
  PackValues(head, tile, to);
  tile.masked = tile.padded() != tile.keys || head.key_mask != nullptr;
  if (!tile.masked) return tile;
  MaskKeys(head, begin, tile.keys, tile.padded(), to.added);
  return tile;
}

// 2^x, 0 for minus infinity, to 1e-4 of it: a 20th of what rounding to bfloat16 changes. The power
// of the whole part times a minimax polynomial of the rest.
HWY_INLINE VecF RoughExp2(VecF x) {
  const F32 d;
  const VecF rest{_mm512_reduce_ps(x.raw, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
  auto power = hn::MulAdd(hn::Set(d, 0.0780245227f), rest, hn::Set(d, 0.2260671554f));
  power = hn::MulAdd(power, rest, hn::Set(d, 0.6958335405f));
  power = hn::MulAdd(power, rest, hn::Set(d, 0.9999252186f));
  return VecF{_mm512_scalef_ps(power.raw, x.raw)};
}

// What turns scores into exponents of 2.
struct Exponents {
  float scale;         // times log2(e)
  const float* bias;   // of this query and the tile's keys, or null
  const float* added;  // or null
};

// Replaces the scores of `keys` keys by exponents and returns their maximum with `largest`.
HWY_INLINE VecF ScaleRow(float* scores, int64_t keys, const Exponents& to, VecF largest) {
  const int64_t padded = cpu::PaddedDepth(keys);
  const auto scale = hn::Set(F32(), to.scale);
  if (to.bias == nullptr && to.added == nullptr) {
    VecF most[2] = {largest, largest};
    for (int64_t j = 0; j < padded; j += 2 * kLanes) {
      GESSO_UNROLL for (int i = 0; i < 2; ++i) {
        const auto exponent = hn::Mul(scale, Load(scores + j + i * kLanes));
        Store(exponent, scores + j + i * kLanes);
        most[i] = hn::Max(most[i], exponent);
      }
    }
    return hn::Max(most[0], most[1]);
  }
  for (int64_t j = 0; j < padded; j += kLanes) {
    auto exponent = hn::Mul(scale, Load(scores + j));
    if (to.bias != nullptr) {
      const int64_t left = std::max<int64_t>(0, keys - j);
      const auto bias = left >= kLanes ? Load(to.bias + j) : LoadPart(to.bias + j, left);
      exponent = hn::MulAdd(bias, hn::Set(F32(), kLog2E), exponent);
    }
    if (to.added != nullptr) exponent = hn::Add(exponent, Load(to.added + j));
    Store(exponent, scores + j);
    largest = hn::Max(largest, exponent);
  }
  return largest;
}

// Turns a row of scores into weights 2^(exponent - maximum) in bfloat16, which take the first half
// of its place. Updates the maximum and the totals and returns the factor by which what was summed
// before has to shrink.
GESSO_AVX512_BF16 float WeighRow(float* scores, const KeyTile& tile, const Exponents& to,
                                 float& largest, float* totals) {
  const F32 d;
  const float before = largest;
  const int64_t padded = tile.padded();
  largest = hn::GetLane(hn::MaxOfLanes(d, ScaleRow(scores, tile.keys, to, hn::Set(d, before))));
  // All keys masked so far: their weights are 2^(-inf - 0) = 0.
  const auto subtracted = hn::Set(d, largest == kMinusInfinity ? 0 : largest);
  const float factor =
      largest == before ? 1 : hn::GetLane(RoughExp2(hn::Sub(hn::Set(d, before), subtracted)));
  const auto ones = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f803f80));
  __m512 total = hn::Mul(hn::Set(d, factor), Load(totals)).raw;
  auto* weights = reinterpret_cast<BFloat16*>(scores);
  for (int64_t j = 0; j < padded; j += 2 * kLanes) {
    const VecF first = RoughExp2(hn::Sub(Load(scores + j), subtracted));
    const VecF second = RoughExp2(hn::Sub(Load(scores + j + kLanes), subtracted));
    const __m512bh rounded = _mm512_cvtne2ps_pbh(second.raw, first.raw);
    _mm512_storeu_si512(weights + j, reinterpret_cast<__m512i>(rounded));
    total = _mm512_dpbf16_ps(total, rounded, ones);
  }
  _mm512_storeu_ps(totals, total);
  return factor;
}

// Adds a packed tile of keys to `count` <= kTileRows queries from `row` on of a block that begins
// at query `begin` of the head.
void AttendGroup(const Head<BFloat16>& head, int64_t begin, int64_t row, int64_t count,
                 const KeyTile& tile, const PairBuffers& b) {
  const bool first = tile.begin == 0;
  const Rows<const float> zeros = {nullptr, 0};
  const Rows<float> sums = {b.sums + row * b.width, b.width};
  MultiplyTiles(count, {b.queries + row * b.width, b.width},
                {b.keys, tile.padded() / cpu::kPairWidth, b.width, false}, zeros,
                {b.scores, kScoreStride});
  Exponents to{head.scale * kLog2E, nullptr, tile.masked ? b.added : nullptr};
  for (int64_t i = 0; i < count; ++i) {
    if (head.bias != nullptr) {
      to.bias = head.bias + (begin + row + i) * head.k.count + tile.begin;
    }
    const float factor = WeighRow(b.scores + i * kScoreStride, tile, to, b.largest[row + i],
                                  b.totals + (row + i) * kLanes);
    if (first || factor == 1) continue;
    float* sum = sums.At(i, 0).data;
    for (int64_t c = 0; c < b.width; c += kLanes) {
      Store(hn::Mul(hn::Set(F32(), factor), Load(sum + c)), sum + c);
    }
  }
  MultiplyTiles(count, {reinterpret_cast<const BFloat16*>(b.scores), 2 * kScoreStride},
                {b.values, b.width / cpu::kPairWidth, tile.padded(), false},
                first ? zeros : Rows<const float>{sums.data, sums.stride}, sums);
}

// Queries begin..begin+count-1 (count <= kQueryBlock) of one head.
void AttendBlock(const Head<BFloat16>& head, int64_t begin, int64_t count, const PairBuffers& b) {
  PackQueries(head, begin, count, b);
  if (head.k.count == 0) std::fill_n(b.sums, count * b.width, 0.0f);
  const int64_t groups = (count + kTileRows - 1) / kTileRows;
  for (int64_t first = 0; first < head.k.count; first += kKeyTile) {
    const KeyTile tile = PackTile(head, first, b);
    for (int64_t group = 0; group < groups; ++group) {
      // As equal as can be.
      const int64_t row = count * group / groups;
      AttendGroup(head, begin, row, count * (group + 1) / groups - row, tile, b);
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    const float total = hn::GetLane(hn::SumOfLanes(F32(), Load(b.totals + i * kLanes)));
    StoreShares(b.sums + i * b.width, total, head.depth, head.out.At(begin + i));
  }
}

// How queries are cut into blocks only decides who packs what, not the results.
void RunAttentionAmx(const AttentionArgs& args) {
  const Shape& s = args.q.shape;
  const int64_t queries = s[1];
  const int64_t heads = s[0] * s[2];
  const int64_t fewest = (queries + kQueryBlock - 1) / kQueryBlock;
  const int64_t most = (queries + 2 * kTileRows - 1) / (2 * kTileRows);
  const int64_t wanted = (2 * NumThreads() + heads - 1) / heads;
  const int64_t blocks = std::clamp(wanted, fewest, most);
  ParallelFor(heads * blocks, [&](int64_t task) {
    const int64_t block = task % blocks;
    const auto head = HeadOf<BFloat16>(args, task / blocks / s[2], task / blocks % s[2]);
    const int64_t begin = queries * block / blocks;
    AttendBlock(head, begin, queries * (block + 1) / blocks - begin, PairBuffers(head.depth));
  });
}

void RunWindowAttentionAmx(const WindowAttentionArgs& args) {
  const Shape& s = args.q.shape;
  const int64_t lines = cpu::WindowCount(s[1], args.window, args.shift);
  ParallelFor(s[0] * s[3] * lines, [&](int64_t task) {
    const PairBuffers buffers(s[4]);
    const auto attend = [&](const Head<BFloat16>& head) {
      for (int64_t begin = 0; begin < head.q.count; begin += kQueryBlock) {
        AttendBlock(head, begin, std::min(kQueryBlock, head.q.count - begin), buffers);
      }
    };
    ForEachWindow<BFloat16>(args, task / lines / s[3], task / lines % s[3], task % lines, attend);
  });
}

#else  // CPUs without AVX-512 are refused below

void RunAttentionAmx(const AttentionArgs&) { CHECK(false); }
void RunWindowAttentionAmx(const WindowAttentionArgs&) { CHECK(false); }

#endif

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RunAttentionAmx);
HWY_EXPORT(RunWindowAttentionAmx);

namespace {

std::optional<std::string_view> WhyNotTiles(std::string_view op, DType dtype, int64_t queries,
                                            int64_t keys) {
  constexpr int64_t kFewestScores = 64;  // below them packing takes longer than it gains
  if (dtype != DType::kBF16) return "only bfloat16 is multiplied by tiles";
  if (!HasAmxBF16() || !HasAvx512BF16()) {
    return "this CPU or operating system lacks the instructions";
  }
  if (queries * keys < kFewestScores && ForcedImplementation(op).empty()) {
    return "vectors are faster for so few scores";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> WhyNotAttentionAmx(const AttentionArgs& args) {
  return WhyNotTiles("attention", args.q.dtype, args.q.shape[1], args.k.shape[1]);
}

std::optional<std::string_view> WhyNotWindowAttentionAmx(const WindowAttentionArgs& args) {
  const int64_t tokens = args.window * args.window;
  return WhyNotTiles("window_attention", args.q.dtype, tokens, tokens);
}

void AttentionAmx(Context&, const AttentionArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunAttentionAmx)(args);
}

void WindowAttentionAmx(Context&, const WindowAttentionArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunWindowAttentionAmx)(args);
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
