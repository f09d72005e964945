// Attention of a block of queries on tensor cores: keys and values go through shared memory tile by
// tile, the next tile on its way while one is worked at; softmax and result live in registers, the
// matrix of scores nowhere. Dao 2023, "FlashAttention-2"; for neighborhoods, whose queries are
// taken in rectangles, Hassani et al. 2024, "Faster Neighborhood Attention".
//
// A warp has 16 or 32 queries: of lane l, query l / 4 and those 8, 16 and 24 further on. A step are
// the keys that it scores at once. What is subtracted from scores before they become powers need
// not be the largest of them: it is raised where weights would exceed 2^kSlack, which is seldom
// after the first keys.
#pragma once

#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/device/attention.cuh"
#include "kernels/cuda/device/fragments.cuh"

namespace gesso::cuda {

// Products: Bf16Products or Float32Products; kWidth: channels that fit, 32, 64 or 128; kTiles: of
// 16 queries that a warp has.
template <class Keys, class Products, int kWidth, int kTiles>
struct AttentionBlock {
  using Element = typename Products::Element;
  static constexpr int kKeys = Products::kKeys;
  static constexpr int kStep = Products::kStep;
  static constexpr int kStride = kWidth + Products::kPad;  // of rows in shared memory, in elements
  static constexpr int kInChunk = 16 / sizeof(Element);    // elements that are copied at once
  static constexpr int kChunks = kWidth / kInChunk;
  static constexpr int kRows = 2 * kTiles;  // of a thread
  static constexpr int kMostParts = kTiles == 1 ? kKeys / kStep : 1;

  // In bytes.
  struct Heads {
    const char* data;
    HeadStrides strides;

    explicit Heads(ConstView view)
        : data(static_cast<const char*>(view.data)), strides(AsSequence(view)) {
      for (int64_t* stride : {&strides.picture, &strides.token, &strides.head}) {
        *stride *= static_cast<int64_t>(sizeof(Element));
      }
    }
    GESSO_BOTH const char* At(int b, int h) const {
      return data + b * strides.picture + h * strides.head;
    }
  };

  Heads q, k, v;
  Element* out;  // contiguous
  bool pairs;    // of numbers are stored at once
  int64_t queries;
  Divisor tasks, heads;
  int64_t pictures;
  int channels;
  int a_block;  // queries that a block works at
  int ahead;    // tiles of keys, 1 or 3; 1 for two tiles of queries
  int parts;    // 1, or 2 warps that share queries, and the steps of a tile; 1 likewise
  float scale;  // times log2 e
  Keys keys;

  template <class Args>
  AttentionBlock(const Args& args, const FlashTile& tile)
      : q(args.q),
        k(args.k),
        v(args.v),
        out(static_cast<Element*>(args.out.data)),
        pairs(reinterpret_cast<uintptr_t>(out) % (2 * sizeof(Element)) == 0),
        queries(AsSequence(args.q).shape[1]),
        heads(args.q.shape[-2]),
        pictures(args.q.shape[0]),
        channels(static_cast<int>(args.q.shape[-1])),
        a_block(16 * kTiles * tile.warps / tile.parts),
        ahead(tile.ahead),
        parts(tile.parts),
        scale(args.scale * kLog2OfE),
        keys(args) {
    tasks = keys.Tasks(a_block);
  }

  int64_t Blocks() const { return pictures * heads * tasks; }

  // shared: FlashSharedBytes<Products>(kWidth, a_block, tiles), aligned to 16 bytes.
  template <class Threads>
  GESSO_BOTH void operator()(int64_t block, Threads& threads, void* shared) const {
    const Memory memory(shared, a_block);
    threads.ForEach([&](int t) {
      if (t == 0) *memory.work = WorkOf(block);
    });
    threads.Barrier();
    const BlockWork& work = *memory.work;
    if (work.task.first >= work.task.queries.count()) return;
    State<Threads> state;
    LoadQueries(threads, work, memory.q);
    threads.CommitCopies();
    KeyTile tile = {0, {work.task.keys.y, work.task.keys.x}};
    for (int i = 0; i < Ahead(); ++i) Prefetch(threads, work, After(work, tile, i), memory);
    Start(threads, state);
    if (Ahead() == 1) {
      threads.template AwaitAllBut<1>();
    } else {
      threads.template AwaitAllBut<3>();
    }
    threads.Barrier();
    state.queries.Begin(threads, memory.q, Parts());
    do {
      if (Ahead() == 1) {
        threads.template AwaitAllBut<0>();
      } else {
        threads.template AwaitAllBut<2>();
      }
      threads.Barrier();  // the tile is there, and nobody reads the one before it any more
      Prefetch(threads, work, After(work, tile, Ahead()), memory);
      threads.ForEachWarp(
          [&](int t) { Work(threads, t, work, tile, memory.Of(tile, Ahead() + 1), state); });
      tile = keys.Next(work.task, tile, kKeys);
    } while (keys.HasTile(work.task, tile));
    threads.GroupSum(state.total);
    if (Parts() == 2) Merge(threads, memory.exchange, state);
    Store(threads, work, state);
  }

 private:
  static constexpr float kSlack = 8;

  // What a block is to do; kept in shared memory, as registers are short.
  struct BlockWork {
    AttentionTask task;
    int b, h;
    const char *k, *v;  // of the head
  };
  static_assert(sizeof(BlockWork) <= kFlashWorkBytes);

  struct TileMemory {
    Element *k, *v;
  };

  struct Memory {
    BlockWork* work;
    Element *q, *tiles;
    float* exchange;  // where queries and tiles were

    GESSO_BOTH Memory(void* shared, int queries_a_block)
        : work(static_cast<BlockWork*>(shared)),
          q(reinterpret_cast<Element*>(static_cast<char*>(shared) + kFlashWorkBytes)),
          tiles(q + queries_a_block * kStride),
          exchange(reinterpret_cast<float*>(q)) {}
    // By turns, of which there are a power of two.
    GESSO_BOTH TileMemory Of(const KeyTile& tile, int turns) const {
      const unsigned number = static_cast<unsigned>(tile.first) / kKeys;
      const int turn = static_cast<int>(number) & (turns - 1);
      Element* first = tiles + turn * (2 * kKeys * kStride);
      return {first, first + kKeys * kStride};
    }
  };

  GESSO_BOTH BlockWork WorkOf(int64_t block) const {
    const int64_t pair = block / tasks;
    const int64_t b = pair / heads;
    const int64_t h = pair - b * heads.value;
    const AttentionTask task = keys.Task(static_cast<int>(block - pair * tasks.value), a_block);
    return {task, static_cast<int>(b), static_cast<int>(h), k.At(b, h), v.At(b, h)};
  }

  template <class Threads>
  struct State {
    typename Products::template Queries<Threads, kWidth, kTiles> queries;
    Matrix<Threads, kTiles, kStep / 8> scores;  // then weights
    Matrix<Threads, kTiles, kWidth / 8> sums;   // of weighted values
    // What is subtracted from scores, and the sum of a thread's weights.
    typename Threads::template Each<RowNumbers<kRows>> peak, total;
  };

  // How many warps share queries: 1 or kMostParts.
  GESSO_BOTH int Parts() const { return kMostParts == 1 ? 1 : parts; }
  // The first query of a thread's warp, and its row r, counted from the block's first.
  GESSO_BOTH int FirstSlotOf(int t) const { return WarpOf(t, Parts()) * 16 * kTiles; }
  GESSO_BOTH int SlotOf(int t, int r) const { return FirstSlotOf(t) + GroupOf(t) + 8 * r; }
  GESSO_BOTH int PartOf(int t) const { return t / kWarp & (Parts() - 1); }
  // Its number c, 0 or 1, in an accumulator.
  GESSO_BOTH static int NumberOf(int r, int c) { return r % 2 * 2 + c; }

  template <class Threads>
  GESSO_BOTH static void Start(Threads& threads, State<Threads>& state) {
    SetToZero<Threads, kTiles, kWidth / 8>(threads, state.sums);
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        state.peak[t].at[r] = -INFINITY;
        state.total[t].at[r] = 0;
      }
    });
  }

  // A thread's chunk of a row; rows are filled up with zeros to the width.
  struct Chunk {
    int first;    // channel
    bool inside;  // the head

    GESSO_BOTH Chunk(int t, int channels)
        : first(t % kChunks * kInChunk), inside(first < channels) {}
    GESSO_BOTH const char* Of(const char* head) const {
      return head + (inside ? first * static_cast<int>(sizeof(Element)) : 0);
    }
  };
  // Tokens are no negative numbers, which spares a multiplication.
  GESSO_BOTH static const char* RowOf(const char* head, const Heads& of, int64_t token) {
    return head + static_cast<uint64_t>(static_cast<uint32_t>(token)) *
                      static_cast<uint64_t>(of.strides.token);
  }

  template <class Threads>
  GESSO_BOTH void LoadQueries(Threads& threads, const BlockWork& work, Element* to) const {
    threads.ForEachAnew([&](int t) {
      const Chunk chunk(t, channels);
      const char* from = chunk.Of(q.At(work.b, work.h));
      for (int slot = t / kChunks; slot < a_block; slot += threads.count() / kChunks) {
        const int64_t token = keys.Token(keys.QueryAt(work.task, slot));
        threads.Copy(to + slot * kStride + chunk.first, RowOf(from, q, token), chunk.inside);
      }
    });
  }

  // How many tiles are on their way while one is worked at.
  GESSO_BOTH int Ahead() const { return kTiles == 1 ? ahead : 1; }
  GESSO_BOTH KeyTile After(const BlockWork& work, KeyTile tile, int count) const {
    for (int i = 0; i < count; ++i) tile = keys.Next(work.task, tile, kKeys);
    return tile;
  }
  // A group of copies, with nothing in it behind the last tile.
  template <class Threads>
  GESSO_BOTH void Prefetch(Threads& threads, const BlockWork& work, const KeyTile& tile,
                           const Memory& memory) const {
    if (keys.HasTile(work.task, tile)) LoadKeys(threads, work, tile, memory.Of(tile, Ahead() + 1));
    threads.CommitCopies();
  }

  // Keys and values of a tile; zeros for those that take no part.
  template <class Threads>
  GESSO_BOTH void LoadKeys(Threads& threads, const BlockWork& work, const KeyTile& tile,
                           const TileMemory& to) const {
    constexpr int kRun = kKeys * kChunks / (kMostFlashWarps * kWarp);  // of keys, a thread
    static_assert(8 % kRun == 0, "runs lie in one row of a neighborhood's tile");
    threads.ForEachAnew([&](int t) {
      const Chunk chunk(t, channels);
      const char* k_from = threads.Whole(chunk.Of(work.k));
      const char* v_from = threads.Whole(chunk.Of(work.v));
      const AttentionTask task = work.task;
      for (int run = t / kChunks; run < kKeys / kRun; run += threads.count() / kChunks) {
        Place place = keys.KeyAt(task, tile, run * kRun);
        GESSO_UNROLL for (int j = 0; j < kRun; ++j) {
          const int64_t token = keys.Token(place);
          const bool takes = chunk.inside && task.keys.Holds(place) && keys.Takes(work.b, token);
          const int at = (run * kRun + j) * kStride + chunk.first;
          threads.Copy(to.k + at, RowOf(k_from, k, token), takes);
          threads.Copy(to.v + at, RowOf(v_from, v, token), takes);
          place = keys.KeyAfter(task, place);
        }
      }
    });
  }

  // A tile of keys, by the warp of thread t.
  template <class Threads>
  GESSO_BOTH void Work(Threads& threads, int t, const BlockWork& work, const KeyTile& tile,
                       const TileMemory& memory, State<Threads>& state) const {
    const int query = FirstSlotOf(t);
    if (!keys.HasQuery(work.task, query)) return;
    GESSO_UNROLL for (int first = PartOf(t) * kStep; first < kKeys; first += Parts() * kStep) {
      const Sight sight =
          keys.SightOf(work.task, query, query + 16 * kTiles - 1, tile, first, first + kStep - 1);
      if (sight == Sight::kNone) continue;
      Products::template Scores<kWidth, kTiles>(threads, state.queries, memory.k + first * kStride,
                                                state.scores);
      // The largest score is that of the largest product only where the scale is positive.
      const bool scaled = keys.HasBias() || !(scale > 0);
      if (scaled) Scale(threads, state);
      if (sight != Sight::kAll) Hide(threads, work, tile, first, state);
      Weigh(threads, scaled ? 1 : scale, state);
      Products::template AddValues<kWidth, kTiles>(threads, state.scores,
                                                   memory.v + first * kStride, state.sums);
    }
  }

  template <class Threads>
  GESSO_BOTH void Scale(Threads& threads, State<Threads>& state) const {
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int m = 0; m < kTiles; ++m) {
        GESSO_UNROLL for (int n = 0; n < kStep / 8; ++n) {
          GESSO_UNROLL for (int i = 0; i < 4; ++i) state.scores[m][n][t].at[i] *= scale;
        }
      }
    });
  }

  // Scores of keys that the query does not see become -infinity; the others get their bias.
  template <class Threads>
  GESSO_BOTH void Hide(Threads& threads, const BlockWork& work, const KeyTile& tile, int first,
                       State<Threads>& state) const {
    threads.ForEachAnew([&](int t) {
      const auto in_run = [&](int c) { return 2 * PlaceInGroup(t) + c; };
      uint32_t taken = 0;  // of a thread's keys, a bit each
      GESSO_UNROLL for (int n = 0; n < kStep / 8; ++n) {
        GESSO_UNROLL for (int c = 0; c < 2; ++c) {
          const bool takes = keys.HasKey(work.task, work.b, tile, first + n * 8 + in_run(c));
          taken |= static_cast<uint32_t>(takes) << (2 * n + c);
        }
      }
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        const Place query = keys.QueryAt(work.task, SlotOf(t, r));
        const Place first_key = keys.FirstKey(query);
        const float* bias = keys.BiasOf(work.h, keys.Token(query));
        GESSO_UNROLL for (int n = 0; n < kStep / 8; ++n) {
          GESSO_UNROLL for (int c = 0; c < 2; ++c) {
            float& score = state.scores[r / 2][n][t].at[NumberOf(r, c)];
            const bool takes = (taken >> (2 * n + c) & 1) != 0;
            if (!takes || !keys.Sees(first_key, tile, first / 8 + n, in_run(c))) score = -INFINITY;
            if (bias != nullptr && takes) {
              score += kLog2OfE * bias[tile.first + first + n * 8 + in_run(c)];
            }
          }
        }
      }
    });
  }

  // Scores, times `factor`, become weights.
  template <class Threads>
  GESSO_BOTH static void Weigh(Threads& threads, float factor, State<Threads>& state) {
    typename Threads::template Each<RowNumbers<kRows>> highest;
    typename Threads::template Each<bool> rises;
    threads.ForEach([&](int t) {
      rises[t] = false;
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        float high = -INFINITY;
        GESSO_UNROLL for (int n = 0; n < kStep / 8; ++n) {
          const float(&scores)[4] = state.scores[r / 2][n][t].at;
          high = fmaxf(high, fmaxf(scores[NumberOf(r, 0)], scores[NumberOf(r, 1)]));
        }
        highest[t].at[r] = high * factor;
        rises[t] = rises[t] || highest[t].at[r] > state.peak[t].at[r] + kSlack;
      }
    });
    if (threads.Any(rises)) Raise(threads, highest, state);
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        const float base = BaseOf(state.peak[t].at[r]);
        float& total = state.total[t].at[r];
        GESSO_UNROLL for (int n = 0; n < kStep / 8; ++n) {
          GESSO_UNROLL for (int c = 0; c < 2; ++c) {
            float& score = state.scores[r / 2][n][t].at[NumberOf(r, c)];
            score = Exp2(fmaf(score, factor, -base));
            total += score;
          }
        }
      }
    });
  }

  // No key so far: all weights are 0.
  GESSO_BOTH static float BaseOf(float peak) { return peak == -INFINITY ? 0 : peak; }

  // The peaks of those rows that have outgrown it, and what came before relative to them.
  template <class Threads>
  GESSO_BOTH static void Raise(Threads& threads,
                               typename Threads::template Each<RowNumbers<kRows>>& highest,
                               State<Threads>& state) {
    threads.GroupMax(highest);
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        float& peak = state.peak[t].at[r];
        const float high = highest[t].at[r];
        if (!(high > peak + kSlack)) continue;
        const float kept = Exp2(peak - high);
        peak = high;
        state.total[t].at[r] *= kept;
        GESSO_UNROLL for (int n = 0; n < kWidth / 8; ++n) {
          GESSO_UNROLL for (int c = 0; c < 2; ++c) {
            state.sums[r / 2][n][t].at[NumberOf(r, c)] *= kept;
          }
        }
      }
    });
  }

  // The sums of two warps that share queries become the first one's.
  template <class Threads>
  GESSO_BOTH void Merge(Threads& threads, float* exchange, State<Threads>& state) const {
    constexpr int kNumbers = kWidth / 2 + 2 * kRows;  // of a thread
    const auto at = [&](int t, int i) -> float& {
      return exchange[(WarpOf(t, Parts()) * kNumbers + i) * kWarp + t % kWarp];
    };
    threads.Barrier();  // nobody reads queries and tiles any more
    threads.ForEach([&](int t) {
      if (PartOf(t) == 0) return;
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        at(t, r) = state.peak[t].at[r];
        at(t, kRows + r) = state.total[t].at[r];
      }
      GESSO_UNROLL for (int i = 0; i < kWidth / 2; ++i) {
        at(t, 2 * kRows + i) = state.sums[0][i / 4][t].at[i % 4];
      }
    });
    threads.Barrier();
    threads.ForEach([&](int t) {
      if (PartOf(t) != 0) return;
      float mine[kRows];
      float others[kRows];
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        const float base = BaseOf(fmaxf(state.peak[t].at[r], at(t, r)));
        mine[r] = Exp2(state.peak[t].at[r] - base);
        others[r] = Exp2(at(t, r) - base);
        state.total[t].at[r] = state.total[t].at[r] * mine[r] + at(t, kRows + r) * others[r];
      }
      GESSO_UNROLL for (int i = 0; i < kWidth / 2; ++i) {
        float& sum = state.sums[0][i / 4][t].at[i % 4];
        sum = sum * mine[i % 4 / 2] + at(t, 2 * kRows + i) * others[i % 4 / 2];
      }
    });
  }

  template <class Threads>
  GESSO_BOTH void Store(Threads& threads, const BlockWork& work,
                        const State<Threads>& state) const {
    threads.ForEachAnew([&](int t) {
      GESSO_UNROLL for (int r = 0; r < kRows; ++r) {
        const int slot = SlotOf(t, r);
        if (PartOf(t) != 0 || !keys.HasQuery(work.task, slot)) continue;
        const float total = state.total[t].at[r];
        const float share = total == 0 ? 0 : 1 / total;
        const int64_t token = keys.Token(keys.QueryAt(work.task, slot));
        Element* const to = out + ((work.b * queries + token) * heads + work.h) * channels;
        GESSO_UNROLL for (int n = 0; n < kWidth / 8; ++n) {
          const float(&sums)[4] = state.sums[r / 2][n][t].at;
          if (n * 8 < channels) {
            Products::Store(to + n * 8 + 2 * PlaceInGroup(t), sums[NumberOf(r, 0)] * share,
                            sums[NumberOf(r, 1)] * share, pairs);
          }
        }
      }
    });
  }
};

}  // namespace gesso::cuda
