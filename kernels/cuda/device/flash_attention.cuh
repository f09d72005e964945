// Attention of a block of queries on tensor cores: keys and values go through shared memory tile by
// tile, the next tile on its way while one is worked at; softmax and result live in registers, the
// matrix of scores nowhere. Dao 2023, "FlashAttention-2"; for neighborhoods, whose queries are
// taken in squares, Hassani et al. 2024, "Faster Neighborhood Attention".
//
// A warp has 16 queries: of lane l, query l / 4 and the one 8 further on. Barriers keep a tile of
// keys until all warps have read it.
#pragma once

#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/device/attention.cuh"
#include "kernels/cuda/device/fragments.cuh"

namespace gesso::cuda {

// Products: Bf16Products or Float32Products; kWidth: channels that fit, a multiple of 16.
template <class Keys, class Products, int kWidth>
struct AttentionBlock {
  using Element = typename Products::Element;
  static constexpr int kKeys = Products::kKeys;
  static constexpr int kStride = kWidth + Products::kPad;  // of rows in shared memory, in elements
  static constexpr int kInChunk = 16 / sizeof(Element);    // elements that are copied at once
  static constexpr int kChunks = kWidth / kInChunk;

  const Element *q, *k, *v;
  Numbers out;  // contiguous
  HeadStrides q_strides, k_strides, v_strides;
  int64_t pictures, queries, heads;
  int channels;
  int a_block;  // queries that a block works at, 16 a warp
  float scale;  // times log2 e
  Keys keys;

  template <class Args>
  AttentionBlock(const Args& args, int warps)
      : q(static_cast<const Element*>(args.q.data)),
        k(static_cast<const Element*>(args.k.data)),
        v(static_cast<const Element*>(args.v.data)),
        out(args.out),
        q_strides(AsSequence(args.q)),
        k_strides(AsSequence(args.k)),
        v_strides(AsSequence(args.v)),
        pictures(args.q.shape[0]),
        queries(AsSequence(args.q).shape[1]),
        heads(args.q.shape[-2]),
        channels(static_cast<int>(args.q.shape[-1])),
        a_block(16 * warps),
        scale(args.scale * kLog2E),
        keys(args) {}

  int64_t Blocks() const { return pictures * heads * keys.Tasks(a_block); }

  // shared: FlashSharedBytes<Products>(kWidth, a_block), aligned to 16 bytes.
  template <class Threads>
  GESSO_BOTH void operator()(int64_t block, Threads& threads, void* shared) const {
    const int64_t tasks = keys.Tasks(a_block);
    const int64_t h = block / tasks % heads;
    const int64_t b = block / tasks / heads;
    const AttentionTask task = keys.Task(block % tasks, a_block);
    if (task.first >= task.queries.count()) return;
    const Memory memory(shared, a_block);
    State<Threads> state;
    Start(threads, task, state);
    LoadQueries(threads, task, b, h, memory);
    LoadKeys(threads, task, b, h, 0, memory.At(0));
    threads.CommitCopies();
    for (int first = 0, i = 0; first < task.keys.count(); first += kKeys, i ^= 1) {
      const int next = first + kKeys;
      if (next < task.keys.count()) LoadKeys(threads, task, b, h, next, memory.At(i ^ 1));
      threads.CommitCopies();
      threads.AwaitAllButNewest();
      threads.Barrier();
      const Tile tile = memory.At(i);
      const int count = task.keys.count() - first;
      const auto busy = [&](int t) { return WarpSeesAny(task, first, t); };
      threads.ForEachWarp(busy, [&] {
        Products::template Scores<kWidth>(threads, memory.q, tile.k, count, channels, state.scores);
        Weigh(threads, h, tile, keys.SeesAll() && count >= kKeys, state);
        Products::template AddValues<kWidth>(threads, state.scores, tile.v, count, channels,
                                             state.kept, state.sums);
      });
      threads.Barrier();
    }
    threads.GroupSum(state.total);
    Store(threads, task, b, h, state);
  }

 private:
  static constexpr float kLog2E = 1.4426950408889634f;

  struct Tile {
    Element *k, *v;
    Place* places;  // of the keys; y is -1 where there is none
  };

  struct Memory {
    Element *q, *tiles;
    Place* places;

    GESSO_BOTH Memory(void* shared, int queries_a_block)
        : q(static_cast<Element*>(shared)),
          tiles(q + queries_a_block * kStride),
          places(reinterpret_cast<Place*>(tiles + 4 * kKeys * kStride)) {}
    GESSO_BOTH Tile At(int i) const {
      Element* keys = tiles + 2 * i * kKeys * kStride;
      return {keys, keys + kKeys * kStride, places + i * kKeys};
    }
  };

  // What a thread knows of its two queries.
  struct Rows {
    Place first_key[2];
    int64_t token[2];
  };

  template <class Threads>
  struct State {
    typename Threads::template Each<Rows> rows;
    Tiles<Threads, kKeys / 8> scores;  // then weights
    Tiles<Threads, kWidth / 8> sums;   // of weighted values
    typename Threads::template Each<Couple> peak, kept, total;
  };

  // Beyond the last query of a task the last one is worked at again, and not stored.
  GESSO_BOTH static Place QueryAt(const AttentionTask& task, int slot) {
    const int last = task.queries.count() - 1;
    return task.queries.At(task.first + slot > last ? last : task.first + slot);
  }

  // Whether a query of the thread's warp may see a key of the tile that begins with key `first`.
  GESSO_BOTH bool WarpSeesAny(const AttentionTask& task, int first, int t) const {
    const int end = task.keys.count() < first + kKeys ? task.keys.count() : first + kKeys;
    return keys.SeesAny(QueryAt(task, FirstRowOf(t)), QueryAt(task, FirstRowOf(t) + 15),
                        task.keys.At(first), task.keys.At(end - 1));
  }

  template <class Threads>
  GESSO_BOTH void Start(Threads& threads, const AttentionTask& task, State<Threads>& state) const {
    SetToZero<Threads, kWidth / 8>(threads, state.sums);
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int r = 0; r < 2; ++r) {
        const Place query = QueryAt(task, FirstRowOf(t) + GroupOf(t) + 8 * r);
        state.rows[t].first_key[r] = keys.FirstKey(query);
        state.rows[t].token[r] = keys.Token(query);
        state.peak[t].at[r] = -INFINITY;
        state.total[t].at[r] = 0;
      }
    });
  }

  // Chunk `chunk` of a row that begins at `from`; zeros where there is no row or no channel.
  template <class Threads>
  GESSO_BOTH void CopyChunk(Threads& threads, Element* row, const Element* from, int chunk,
                            bool takes) const {
    const int d = chunk * kInChunk;
    if (d >= (channels + 15) / 16 * 16) return;  // not read
    const bool inside = takes && d < channels;
    threads.Copy(row + d, from + (inside ? d : 0), inside);
  }

  template <class Threads>
  GESSO_BOTH void LoadQueries(Threads& threads, const AttentionTask& task, int64_t b, int64_t h,
                              const Memory& memory) const {
    threads.ForEach([&](int t) {
      for (int i = t; i < a_block * kChunks; i += threads.count()) {
        const int slot = i / kChunks;
        const int64_t token = keys.Token(QueryAt(task, slot));
        CopyChunk(threads, memory.q + slot * kStride, q + q_strides.At(b, token, h), i % kChunks,
                  true);
      }
    });
  }

  // Keys and values from number `first` of the task's on; zeros for those that take no part.
  template <class Threads>
  GESSO_BOTH void LoadKeys(Threads& threads, const AttentionTask& task, int64_t b, int64_t h,
                           int first, const Tile& tile) const {
    threads.ForEach([&](int t) {
      for (int i = t; i < kKeys * kChunks; i += threads.count()) {
        const int slot = i / kChunks;
        const bool exists = first + slot < task.keys.count();
        const Place place = task.keys.At(exists ? first + slot : 0);
        const int64_t token = keys.Token(place);
        const bool takes = exists && keys.Takes(b, token);
        if (i % kChunks == 0) tile.places[slot] = takes ? place : Place{-1, -1};
        const int at = slot * kStride;
        CopyChunk(threads, tile.k + at, k + k_strides.At(b, token, h), i % kChunks, takes);
        CopyChunk(threads, tile.v + at, v + v_strides.At(b, token, h), i % kChunks, takes);
      }
    });
  }

  // Scores become weights 2^(score - peak); what came before is to shrink by `kept`.
  template <class Threads>
  GESSO_BOTH void Weigh(Threads& threads, int64_t h, const Tile& tile, bool all,
                        State<Threads>& state) const {
    typename Threads::template Each<Couple> highest;
    threads.ForEach([&](int t) { highest[t] = all ? Scale(t, state) : Finish(h, tile, t, state); });
    threads.GroupMax(highest);
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int r = 0; r < 2; ++r) {
        const float peak = fmaxf(state.peak[t].at[r], highest[t].at[r]);
        const float base = peak == -INFINITY ? 0 : peak;  // no key so far: all weights are 0
        state.kept[t].at[r] = Exp2(state.peak[t].at[r] - base);
        state.peak[t].at[r] = peak;
        float total = 0;
        GESSO_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
          GESSO_UNROLL for (int c = 0; c < 2; ++c) {
            float& score = state.scores[n][t].at[2 * r + c];
            score = Exp2(score - base);
            total += score;
          }
        }
        state.total[t].at[r] = state.total[t].at[r] * state.kept[t].at[r] + total;
      }
    });
  }

  // Where every pair counts. Returns the largest score a row.
  template <class Threads>
  GESSO_BOTH Couple Scale(int t, State<Threads>& state) const {
    Couple highest = {{-INFINITY, -INFINITY}};
    GESSO_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
      GESSO_UNROLL for (int i = 0; i < 4; ++i) {
        float& score = state.scores[n][t].at[i];
        score *= scale;
        highest.at[i / 2] = fmaxf(highest.at[i / 2], score);
      }
    }
    return highest;
  }

  // Scale and bias; keys that the query does not see get -infinity. Returns the largest a row.
  template <class Threads>
  GESSO_BOTH Couple Finish(int64_t h, const Tile& tile, int t, State<Threads>& state) const {
    const Rows& rows = state.rows[t];
    Couple highest = {{-INFINITY, -INFINITY}};
    GESSO_UNROLL for (int n = 0; n < kKeys / 8; ++n) {
      GESSO_UNROLL for (int c = 0; c < 2; ++c) {
        const Place key = tile.places[n * 8 + 2 * PlaceInGroup(t) + c];
        GESSO_UNROLL for (int r = 0; r < 2; ++r) {
          float& score = state.scores[n][t].at[2 * r + c];
          const bool sees = key.y >= 0 && keys.Sees(rows.first_key[r], key);
          score = sees ? score * scale + kLog2E * keys.Bias(h, rows.token[r], keys.Token(key))
                       : -INFINITY;
          highest.at[r] = fmaxf(highest.at[r], score);
        }
      }
    }
    return highest;
  }

  template <class Threads>
  GESSO_BOTH void Store(Threads& threads, const AttentionTask& task, int64_t b, int64_t h,
                        const State<Threads>& state) const {
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int r = 0; r < 2; ++r) {
        const int slot = FirstRowOf(t) + GroupOf(t) + 8 * r;
        if (task.first + slot >= task.queries.count()) continue;
        const float total = state.total[t].at[r];
        const float share = total == 0 ? 0 : 1 / total;
        const int64_t at = ((b * queries + state.rows[t].token[r]) * heads + h) * channels;
        GESSO_UNROLL for (int n = 0; n < kWidth / 8; ++n) {
          if (n * 8 >= channels) break;
          GESSO_UNROLL for (int c = 0; c < 2; ++c) {
            out.Set(at + n * 8 + 2 * PlaceInGroup(t) + c, state.sums[n][t].at[2 * r + c] * share);
          }
        }
      }
    });
  }
};

}  // namespace gesso::cuda
