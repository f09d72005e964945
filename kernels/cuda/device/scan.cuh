// Scans of state-space models, parallel over channels and tokens. A block has 32 channels, a lane
// each, and a chunk of the tokens, which it goes through tile by tile; every warp has a few tokens
// of a tile. State by state a warp takes its tokens from zero to an end, learns from the ends of
// the warps before it where it starts, and takes its tokens from there. No exponential is computed
// twice, and neighbouring lanes read and write neighbouring channels.
//
// Of several chunks (scan_plan.h) the ends come first, from zeros; ScanStartsElement makes starts
// of them, from which the chunks are gone through once more.
//
// Gu & Dao 2023, "Mamba"; Dao & Gu 2024, "Transformers are SSMs", section 6 (chunks).
#pragma once

#include "kernels/cuda/device/fragments.cuh"
#include "kernels/cuda/device/scan_terms.cuh"

namespace gesso::cuda {

static_assert(kScanLanes == kWarp);

// What several chunks hand on.
struct ScanCarry {
  float* states = nullptr;     // [B, chunks, D, N]: ends, then starts; the last has no end
  float* exponents = nullptr;  // [B, chunks, D]: of a chunk's whole decay, times rates if there are
};

// Of one state of a warp's tokens: start * decay + end is where they lead.
struct alignas(8) ScanSegment {
  float decay, end;
};

// Of a block: b and c, the states' ends and rates, and the segments of states at work.
template <class Terms>
constexpr size_t ScanSharedBytes(int64_t states) {
  const size_t rows = size_t{2} * kScanRows * (kScanTile + 4);
  const size_t of_states =
      static_cast<size_t>(states) * (kScanLanes + 1) * (Terms::kHasRates ? 2 : 1);
  return (rows + of_states) * sizeof(float) +
         size_t{2} * Terms::kAtOnce * kScanWarps * kScanLanes * sizeof(ScanSegment);
}

// One chunk of up to 32 channels of a picture. kWrites: what it gives, from where it starts; if not
// so: its end from zeros, of all chunks but the last.
template <class Terms, bool kWrites>
struct ScanBlock {
  static constexpr int kAtOnce = Terms::kAtOnce;
  static constexpr int kThreads = kScanWarps * kScanLanes;

  Terms terms;
  ScanChunks chunks;
  ScanCarry carry;  // of several chunks

  int64_t Blocks() const {
    return terms.shape.pictures * terms.shape.ChannelBlocks() * (chunks.count - (kWrites ? 0 : 1));
  }
  size_t SharedBytes() const { return ScanSharedBytes<Terms>(terms.shape.states); }

  // shared: SharedBytes(), aligned to 16 bytes.
  template <class Threads>
  GESSO_BOTH void operator()(int64_t block, Threads& threads, void* shared) const {
    const Part part(terms.shape, chunks, block);
    const Memory memory(shared, terms.shape.states);
    const int states = static_cast<int>(terms.shape.states);
    typename Threads::template Each<Own> own;
    int turn = 0;
    LoadStates(threads, part, memory, own);
    for (int64_t first = part.begin; first < part.end; first += kScanTile) {
      LoadTokens(threads, part, first, own);
      for (int n = 0; n < states; n += kScanRows) {
        threads.Barrier();
        LoadRows(threads, part, first, n, memory);
        threads.Barrier();
        const int count = states - n < kScanRows ? states - n : kScanRows;
        for (int i = 0; i < count; i += kAtOnce, turn ^= 1) {
          FindEnds(threads, memory, n, i, count, turn, own);
          threads.Barrier();  // one: the segments of the next turn lie elsewhere
          TakeTokens(threads, memory, n, i, count, turn, own);
        }
      }
      if constexpr (kWrites) StoreTokens(threads, part, first, own);
    }
    threads.Barrier();
    StoreStates(threads, part, memory, own);
    threads.Barrier();  // before the next block overwrites the states
  }

 private:
  static constexpr int kStride = kScanTile + 4;        // of b and c in shared memory
  static constexpr int kStateStride = kScanLanes + 1;  // of states, so that banks differ

  // What a block works at.
  struct Part {
    int64_t picture, chunk, group, channel;
    int channels;
    int64_t begin, end;  // steps

    GESSO_BOTH Part(const ScanShape& shape, const ScanChunks& chunks, int64_t block) {
      const int64_t count = kWrites ? chunks.count : chunks.count - 1;
      const int64_t blocks = shape.ChannelBlocks();
      const int64_t of_group = shape.channels / shape.groups;
      const int64_t place = block % blocks;
      const int64_t at = place % shape.BlocksOfGroup() * kScanLanes;
      picture = block / blocks / count;
      chunk = block / blocks % count;
      group = place / shape.BlocksOfGroup();
      channel = group * of_group + at;
      channels = static_cast<int>(of_group - at < kScanLanes ? of_group - at : kScanLanes);
      begin = chunk * chunks.tokens;
      end = begin + chunks.tokens < shape.length ? begin + chunks.tokens : shape.length;
    }
    // How many of the steps from `first` on that a warp has in a tile exist.
    GESSO_BOTH int Count(int64_t first) const {
      const int64_t left = end - first;
      return static_cast<int>(left < 0 ? 0 : left < kScanTokens ? left : kScanTokens);
    }
  };

  struct Memory {
    float *b, *c;  // [kScanRows, kStride]
    ScanSegment* segments;
    float *states, *rates;  // [N, kStateStride]

    GESSO_BOTH Memory(void* shared, int64_t state_count)
        : b(static_cast<float*>(shared)),
          c(b + kScanRows * kStride),
          segments(reinterpret_cast<ScanSegment*>(c + kScanRows * kStride)),
          states(reinterpret_cast<float*>(segments + 2 * kAtOnce * kScanWarps * kScanLanes)),
          rates(states + state_count * kStateStride) {}
    GESSO_BOTH ScanSegment& Segment(int turn, int i, int warp, int lane) const {
      return segments[((turn * kAtOnce + i) * kScanWarps + warp) * kScanLanes + lane];
    }
  };

  struct Own {
    ScanTokens tokens;
    float decay[Terms::kHasRates ? kAtOnce : 1][kScanTokens];
    float start[kAtOnce];
    float exponent;        // of the tokens together
    float whole_decay;     // without rates
    float whole_exponent;  // of all tiles so far
  };

  struct alignas(16) Row {
    float at[kScanTokens];
  };
  GESSO_BOTH static const Row& RowOf(const float* rows, int n, int warp) {
    return *reinterpret_cast<const Row*>(rows + n * kStride + warp * kScanTokens);
  }

  GESSO_BOTH static int LaneOf(int t) { return t % kScanLanes; }
  GESSO_BOTH static int WarpOf(int t) { return t / kScanLanes; }

  // Where the states [D, N] of this picture and chunk begin in ScanCarry.
  GESSO_BOTH int64_t Place(const Part& part) const {
    return (part.picture * chunks.count + part.chunk) * terms.shape.channels;
  }

  template <class Threads, class All>
  GESSO_BOTH void LoadStates(Threads& threads, const Part& part, const Memory& memory,
                             All& own) const {
    const int64_t states = terms.shape.states;
    Numbers from;  // of the first channel
    if (kWrites && chunks.count == 1 && !terms.initial_state.absent()) {
      from = terms.initial_state;
      from.data = static_cast<float*>(from.data) +
                  (part.picture * terms.shape.channels + part.channel) * states;
    } else if (kWrites && chunks.count > 1) {
      from.data = carry.states + (Place(part) + part.channel) * states;
    }
    threads.ForEach([&](int t) {
      own[t].whole_exponent = 0;
      for (int64_t i = t; i < kScanLanes * states; i += kThreads) {
        const int64_t lane = i / states;
        const int64_t n = i % states;
        const bool exists = lane < part.channels;
        memory.states[n * kStateStride + lane] = exists ? from.GetOr(i, 0) : 0;
        if constexpr (Terms::kHasRates) {
          memory.rates[n * kStateStride + lane] = exists ? terms.Rate(part.channel + lane, n) : 0;
        }
      }
    });
  }

  template <class Threads, class All>
  GESSO_BOTH void LoadTokens(Threads& threads, const Part& part, int64_t first, All& own) const {
    threads.ForEach([&](int t) {
      Own& mine = own[t];
      const int64_t begin = first + WarpOf(t) * kScanTokens;
      const int count = LaneOf(t) < part.channels ? part.Count(begin) : 0;
      if (count > 0) {
        terms.Load(part.picture, part.channel + LaneOf(t), begin, count, mine.tokens);
      } else {
        mine.tokens = {};
      }
      mine.exponent = 0;
      GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
        mine.exponent += mine.tokens.exponent[k];
        if constexpr (!Terms::kHasRates) mine.decay[0][k] = Exp2(mine.tokens.exponent[k]);
      }
      if constexpr (!Terms::kHasRates) mine.whole_decay = Exp2(mine.exponent);
      mine.whole_exponent += mine.exponent;
    });
  }

  // b and c of states n .. n + kScanRows - 1 of a tile's tokens; zeros where there are none.
  template <class Threads>
  GESSO_BOTH void LoadRows(Threads& threads, const Part& part, int64_t first, int n,
                           const Memory& memory) const {
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int i = 0; i < kScanTile * kScanRows / kThreads; ++i) {
        const int place = i * kThreads + t;
        const int state = place % kScanRows;
        const int slot = place / kScanRows;
        const bool exists = n + state < terms.shape.states && first + slot < part.end;
        const int64_t token = terms.Token(first + slot);
        float* const b = memory.b + state * kStride + slot;
        float* const c = memory.c + state * kStride + slot;
        *b = exists ? terms.b.At(part.picture, token, part.group, n + state) : 0;
        if constexpr (kWrites) {
          *c = exists ? terms.c.At(part.picture, token, part.group, n + state) : 0;
        }
      }
    });
  }

  // Of states n + i on: what a warp's tokens make of zero; the first warp's, of what came before.
  template <class Threads, class All>
  GESSO_BOTH void FindEnds(Threads& threads, const Memory& memory, int n, int i, int count,
                           int turn, All& own) const {
    threads.ForEach([&](int t) {
      Own& mine = own[t];
      const int lane = LaneOf(t);
      const int warp = WarpOf(t);
      GESSO_UNROLL for (int j = 0; j < kAtOnce; ++j) {
        if (i + j >= count) break;
        const int at = (n + i + j) * kStateStride + lane;
        const Row& b = RowOf(memory.b, i + j, warp);
        float whole = mine.whole_decay;
        if constexpr (Terms::kHasRates) {
          const float rate = memory.rates[at];
          whole = Exp2(rate * mine.exponent);
          GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
            mine.decay[j][k] = Exp2(rate * mine.tokens.exponent[k]);
          }
        }
        mine.start[j] = warp == 0 ? memory.states[at] : 0;
        float h = mine.start[j];
        GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
          h = Decay(mine, j, k) * h + mine.tokens.input[k] * b.at[k];
        }
        memory.Segment(turn, j, warp, lane) = {whole, h};
      }
    });
  }

  GESSO_BOTH static float Decay(const Own& mine, int j, int k) {
    return mine.decay[Terms::kHasRates ? j : 0][k];
  }

  // The tokens from where they start; the last warp leaves the states as they are after the tile.
  template <class Threads, class All>
  GESSO_BOTH void TakeTokens(Threads& threads, const Memory& memory, int n, int i, int count,
                             int turn, All& own) const {
    threads.ForEach([&](int t) {
      Own& mine = own[t];
      const int lane = LaneOf(t);
      const int warp = WarpOf(t);
      const bool last = warp == kScanWarps - 1;
      if (!kWrites && !last) return;
      GESSO_UNROLL for (int j = 0; j < kAtOnce; ++j) {
        if (i + j >= count) break;
        float h = mine.start[j];
        GESSO_UNROLL for (int other = 0; other < kScanWarps - (kWrites ? 1 : 0); ++other) {
          if (other > warp || (kWrites && other == warp)) break;
          const ScanSegment segment = memory.Segment(turn, j, other, lane);
          h = segment.decay * h + segment.end;
        }
        if constexpr (kWrites) {
          const Row& b = RowOf(memory.b, i + j, warp);
          const Row& c = RowOf(memory.c, i + j, warp);
          GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
            h = Decay(mine, j, k) * h + mine.tokens.input[k] * b.at[k];
            mine.tokens.y[k] += h * c.at[k];
          }
        }
        if (last) memory.states[(n + i + j) * kStateStride + lane] = h;
      }
    });
  }

  template <class Threads, class All>
  GESSO_BOTH void StoreTokens(Threads& threads, const Part& part, int64_t first,
                              const All& own) const {
    threads.ForEach([&](int t) {
      const int64_t begin = first + WarpOf(t) * kScanTokens;
      const int count = LaneOf(t) < part.channels ? part.Count(begin) : 0;
      if (count == 0) return;
      terms.Store(part.picture, part.channel + LaneOf(t), begin, count, own[t].tokens);
    });
  }

  // The last chunk's states to final_state, or, of ends, those and the decay to the carry.
  template <class Threads, class All>
  GESSO_BOTH void StoreStates(Threads& threads, const Part& part, const Memory& memory,
                              const All& own) const {
    const int64_t states = terms.shape.states;
    float* to = nullptr;
    if (!kWrites) {
      to = carry.states + (Place(part) + part.channel) * states;
    } else if (part.chunk == chunks.count - 1 && !terms.final_state.absent()) {
      to = static_cast<float*>(terms.final_state.data) +
           (part.picture * terms.shape.channels + part.channel) * states;
    }
    threads.ForEach([&](int t) {
      if (to != nullptr) {
        for (int64_t i = t; i < part.channels * states; i += kThreads) {
          to[i] = memory.states[i % states * kStateStride + i / states];
        }
      }
      if (!kWrites) memory.Segment(0, 0, WarpOf(t), LaneOf(t)).decay = own[t].whole_exponent;
    });
    if constexpr (!kWrites) {
      threads.Barrier();
      threads.ForEach([&](int t) {
        if (t >= part.channels) return;
        float sum = 0;
        for (int warp = 0; warp < kScanWarps; ++warp) sum += memory.Segment(0, 0, warp, t).decay;
        carry.exponents[Place(part) + part.channel + t] = sum;
      });
    }
  }
};

// Makes starts of the ends of one state's chunks; i counts [B, D, N].
template <class Terms>
struct ScanStartsElement {
  Terms terms;
  ScanChunks chunks;
  ScanCarry carry;

  GESSO_BOTH void operator()(int64_t i) const {
    constexpr int kAtOnce = 8;  // ends that are on their way together
    const int64_t states = terms.shape.states;
    const int64_t channel = i / states % terms.shape.channels;
    const int64_t n = i % states;
    const int64_t picture = i / states / terms.shape.channels;
    float rate = 1;
    if constexpr (Terms::kHasRates) rate = terms.Rate(channel, n);
    float h = terms.initial_state.GetOr(i, 0);
    for (int64_t first = 0; first < chunks.count; first += kAtOnce) {
      float ends[kAtOnce], decays[kAtOnce];
      const int64_t place = (picture * chunks.count + first) * terms.shape.channels + channel;
      GESSO_UNROLL for (int k = 0; k < kAtOnce; ++k) {
        if (first + k + 1 >= chunks.count) break;  // the last has none
        const int64_t at = place + k * terms.shape.channels;
        ends[k] = carry.states[at * states + n];
        decays[k] = Exp2(rate * carry.exponents[at]);
      }
      GESSO_UNROLL for (int k = 0; k < kAtOnce; ++k) {
        if (first + k >= chunks.count) break;
        carry.states[(place + k * terms.shape.channels) * states + n] = h;
        if (first + k + 1 < chunks.count) h = decays[k] * h + ends[k];
      }
    }
  }
};

}  // namespace gesso::cuda
