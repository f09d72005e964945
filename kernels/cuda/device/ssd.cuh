// State-space duality on tensor cores. A block has a head, or as many channels of one as a tile has
// tokens, and a chunk of the tokens, which it goes through tile by tile. Within a tile the scan is
// what attention is without a softmax, Y = (C B^T * decays) X; what came before is C H^T, with the
// states H [channels, states], which become decay H + (decays X)^T B.
//
// A warp has 16 tokens of Y and 16 channels of H, of both up to 64 columns, in registers and in
// float32. Factors are of the inputs' type: of bfloat16, weights and H are rounded for Y; for H
// itself weights are multiplied in two parts, so that nothing adds up from tile to tile.
//
// Of several chunks (scan_plan.h) the ends come first, from zeros; ScanStartsElement makes starts
// of them, from which the chunks are gone through once more.
//
// Dao & Gu 2024, "Transformers are SSMs", section 6.
#pragma once

#include <type_traits>

#include "kernels/cuda/device/ssd_products.cuh"
#include "kernels/cuda/device/ssd_terms.cuh"
#include "kernels/cuda/device/vectors.cuh"

namespace gesso::cuda {

// How a block is cut. kWidth: states that fit, a multiple of 64.
template <class Products, int kWidth>
struct SsdTile {
  using Element = typename Products::Element;
  static constexpr int kTokens = Products::kTokens;
  static constexpr int kChannels = kTokens;
  static constexpr int kRowWarps = kTokens / 16;
  static constexpr int kColumnWarps = kWidth / 64;
  static constexpr int kThreads = kRowWarps * kColumnWarps * kWarp;
  static constexpr int kStride = kWidth + Products::kPad;  // of rows of states in shared memory
  static constexpr int kXStride = kChannels + Products::kPad;
  static constexpr int kElements = (2 * kTokens) * (2 * kStride + kXStride) + kChannels * kStride;
  // Two tiles of b, c and x, the states; of tokens sums twice and three numbers, skips.
  static constexpr size_t kSharedBytes =
      kElements * sizeof(Element) + (4 + 3 + 1) * kTokens * sizeof(float);

  // That a multiprocessor of up to 227 KiB holds at once; registers are shared out for them.
  static constexpr int kBlocks = static_cast<int>((size_t{224} << 10) / kSharedBytes);

  GESSO_BOTH static int PartsOf(int head_dim) { return (head_dim + kChannels - 1) / kChannels; }
};

// kWrites: what a chunk gives, from where it starts; if not so: its end from zeros, of all chunks
// but the last.
template <class Products, int kWidth, bool kWrites>
struct SsdBlock {
  using Tile = SsdTile<Products, kWidth>;
  using Element = typename Tile::Element;
  static constexpr int kTokens = Tile::kTokens;
  static constexpr int kChannels = Tile::kChannels;

  SsdTerms terms;
  ScanChunks chunks;
  ScanCarry carry;  // of several chunks
  bool x_in_chunks, b_in_chunks, c_in_chunks;

  SsdBlock(const SsdTerms& of, const ScanChunks& cut, const ScanCarry& carried)
      : terms(of), chunks(cut), carry(carried) {
    constexpr DType kType = kRounds ? DType::kBF16 : DType::kF32;
    x_in_chunks = terms.x.InChunks(kType);
    b_in_chunks = terms.b.InChunks(kType);
    c_in_chunks = terms.c.InChunks(kType);
  }

  int64_t Blocks() const {
    return terms.shape.pictures * (chunks.count - (kWrites ? 0 : 1)) * terms.heads *
           Tile::PartsOf(terms.head_dim);
  }
  size_t SharedBytes() const { return Tile::kSharedBytes; }

  // shared: SharedBytes(), aligned to 16 bytes.
  template <class Threads>
  GESSO_BOTH void operator()(int64_t block, Threads& threads, void* shared) const {
    const Part part(*this, static_cast<int>(block));
    const Memory memory(shared);
    Work<Threads> work;
    LoadStates(threads, part, memory, work);
    AskForSteps(threads, part, part.begin, work);
    LoadTile(threads, part, part.begin, memory.At(0));
    threads.CommitCopies();
    for (int first = part.begin, i = 0; first < part.end; first += kTokens, i ^= 1) {
      const int next = first + kTokens;
      PutExponents(threads, part, memory, work);
      if (kWrites) PutStates(threads, memory, work);
      threads.Barrier();
      AskForSteps(threads, part, next, work);
      if (next < part.end) LoadTile(threads, part, next, memory.At(i ^ 1));
      threads.CommitCopies();
      AddUpGroups(threads, memory);
      threads.template AwaitAllBut<1>();
      threads.Barrier();
      AddUpExponents(threads, memory, work);
      threads.Barrier();
      const int count = part.end - first < kTokens ? part.end - first : kTokens;
      if (kWrites) {
        TakeTokens(threads, part, memory, memory.At(i), work);
        StoreTokens(threads, part, first, count, memory, memory.At(i), work);
      }
      AdvanceStates(threads, memory, memory.At(i), count, work);
      threads.Barrier();
    }
    StoreStates(threads, part, work);
  }

 private:
  static constexpr bool kRounds = std::is_same_v<Element, uint16_t>;
  static constexpr int kColumns = kChannels / Tile::kColumnWarps;  // of y, of a warp
  static constexpr int kStates = 64;                               // columns of H, of a warp
  static constexpr int kGroup = 8;                                 // tokens added up one by one

  // What a block works at.
  struct Part {
    int picture, chunk, head, group;
    int channel;  // the first of `channels`, of the head's
    int channels;
    int begin, end;  // tokens

    GESSO_BOTH Part(const SsdBlock& all, int block) {
      const SsdTerms& terms = all.terms;
      const auto count = static_cast<int>(all.chunks.count) - (kWrites ? 0 : 1);
      const int parts = Tile::PartsOf(terms.head_dim);
      const auto length = static_cast<int>(terms.shape.length);
      const auto tokens = static_cast<int>(all.chunks.tokens);
      channel = block % parts * kChannels;
      channels = terms.head_dim - channel < kChannels ? terms.head_dim - channel : kChannels;
      head = block / parts % terms.heads;
      group = head / (terms.heads / static_cast<int>(terms.shape.groups));
      chunk = block / parts / terms.heads % count;
      picture = block / parts / terms.heads / count;
      begin = chunk * tokens;
      end = length - begin < tokens ? length : begin + tokens;
    }
  };

  struct TileMemory {
    Element *b, *c;  // [kTokens, kStride]
    Element* x;      // [kTokens, kXStride]
  };
  struct Memory {
    Element* tiles;
    Element* states;  // [kChannels, kStride]
    double* groups;   // of the tokens of a group up to one
    SsdSum* sums;     // of the tile's tokens up to one
    float* exponents;
    float* steps;   // what x is multiplied by
    float* shares;  // ... of what is left of it at the end
    float* skips;   // of channels

    GESSO_BOTH explicit Memory(void* shared)
        : tiles(static_cast<Element*>(shared)),
          states(tiles + Tile::kElements - kChannels * Tile::kStride),
          groups(reinterpret_cast<double*>(tiles + Tile::kElements)),
          sums(reinterpret_cast<SsdSum*>(groups + kTokens)),
          exponents(reinterpret_cast<float*>(sums + kTokens)),
          steps(exponents + kTokens),
          shares(steps + kTokens),
          skips(shares + kTokens) {}
    GESSO_BOTH TileMemory At(int i) const {
      Element* const b = tiles + i * kTokens * (2 * Tile::kStride + Tile::kXStride);
      return {b, b + kTokens * Tile::kStride, b + 2 * kTokens * Tile::kStride};
    }
  };

  struct Own {
    SsdStepBits next;  // of the next tile's token whose number is the thread's
    float whole;       // exponents of all tiles so far
    float tile_decay;  // of the tile
  };
  template <class Threads>
  struct Work {
    typename Threads::template Each<Own> own;
    Tiles<Threads, kStates / 8> states;   // [16 channels, 64 states]
    Tiles<Threads, kTokens / 8> weights;  // [16 tokens or channels, kTokens]
    Tiles<Threads, kColumns / 8> y;       // [16 tokens, kColumns]
  };

  // The first row and the first columns of a thread's warp.
  GESSO_BOTH static int FirstRow(int t) { return t / kWarp % Tile::kRowWarps * 16; }
  GESSO_BOTH static int FirstColumn(int t) { return t / kWarp / Tile::kRowWarps * kColumns; }
  GESSO_BOTH static int FirstState(int t) { return t / kWarp / Tile::kRowWarps * kStates; }
  GESSO_BOTH static int RowOf(int t, int r) { return FirstRow(t) + GroupOf(t) + 8 * r; }

  // body(r, column, number) for what a thread has of a matrix; r: of its two rows.
  template <int kCount, class Threads, class Body>
  GESSO_BOTH static void ForEachNumber(int t, Tiles<Threads, kCount>& matrix, const Body& body) {
    GESSO_UNROLL for (int n = 0; n < kCount; ++n) {
      GESSO_UNROLL for (int k = 0; k < 4; ++k) {
        body(k / 2, n * 8 + 2 * PlaceInGroup(t) + k % 2, matrix[n][t].at[k]);
      }
    }
  }

  // Where [channels, N] of the block begin among those of all channels.
  GESSO_BOTH int64_t StatesAt(const Part& part, int64_t channels_before) const {
    return (channels_before + part.head * terms.head_dim + part.channel) * terms.shape.states;
  }
  GESSO_BOTH int64_t Place(const Part& part) const {
    return ScanCarry::Place(terms.shape, chunks, part.picture, part.chunk);
  }

  template <class Threads>
  GESSO_BOTH void LoadStates(Threads& threads, const Part& part, const Memory& memory,
                             Work<Threads>& work) const {
    Numbers from;
    int64_t at = 0;
    if (kWrites && chunks.count > 1) {
      from.data = carry.states;
      at = StatesAt(part, Place(part));
    } else if (kWrites) {
      from = terms.initial_state;
      at = StatesAt(part, part.picture * terms.shape.channels);
    }
    const auto states = static_cast<int>(terms.shape.states);
    threads.ForEach([&](int t) {
      work.own[t].whole = 0;
      if (t < part.channels) memory.skips[t] = terms.Skip(part.head, part.channel + t);
      ForEachNumber<kStates / 8, Threads>(t, work.states, [&](int r, int column, float& number) {
        const int channel = RowOf(t, r);
        const int n = FirstState(t) + column;
        const bool exists = channel < part.channels && n < states;
        number = exists ? from.GetOr(at + channel * states + n, 0) : 0;
      });
    });
  }

  template <class Threads>
  GESSO_BOTH void AskForSteps(Threads& threads, const Part& part, int first,
                              Work<Threads>& work) const {
    threads.ForEach([&](int t) {
      const int end = t < kTokens ? part.end : 0;
      work.own[t].next = SsdStepBits::Ask(terms, part.picture, first + t, end, part.head);
    });
  }

  template <class Threads>
  GESSO_BOTH void PutExponents(Threads& threads, const Part& part, const Memory& memory,
                               const Work<Threads>& work) const {
    const float bias = terms.dt_bias.GetOr(part.head, 0);
    const float rate = kLog2OfE * terms.a.GetOr(part.head, 1);
    threads.ForEach([&](int t) {
      if (t >= kTokens) return;
      const SsdStep step = work.own[t].next.Step(terms, bias, rate);
      memory.exponents[t] = step.exponent;
      memory.steps[t] = step.step;
    });
  }

  template <class Threads>
  GESSO_BOTH void AddUpGroups(Threads& threads, const Memory& memory) const {
    threads.ForEach([&](int t) {
      if (t >= kTokens) return;
      double sum = 0;
      GESSO_UNROLL for (int k = 0; k < kGroup; ++k) {
        if (k <= t % kGroup) sum += memory.exponents[t / kGroup * kGroup + k];
      }
      memory.groups[t] = sum;
    });
  }

  template <class Threads>
  GESSO_BOTH void AddUpExponents(Threads& threads, const Memory& memory,
                                 Work<Threads>& work) const {
    threads.ForEach([&](int t) {
      double before = 0;
      double all = 0;
      GESSO_UNROLL for (int g = 0; g < kTokens / kGroup; ++g) {
        if (g == t / kGroup) before = all;
        all += memory.groups[g * kGroup + kGroup - 1];
      }
      work.own[t].whole += static_cast<float>(all);
      work.own[t].tile_decay = Exp2(static_cast<float>(all));
      if (t >= kTokens) return;
      const double sum = before + memory.groups[t];
      memory.sums[t] = SsdSum::Of(sum);
      memory.shares[t] = Exp2(static_cast<float>(all - sum)) * memory.steps[t];
    });
  }

  // The states as a factor.
  template <class Threads>
  GESSO_BOTH void PutStates(Threads& threads, const Memory& memory, Work<Threads>& work) const {
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int n = 0; n < kStates / 8; ++n) {
        const float(&of)[4] = work.states[n][t].at;
        Element* const to = memory.states + RowOf(t, 0) * Tile::kStride + FirstState(t) + n * 8 +
                            2 * PlaceInGroup(t);
        PutPair(to, of[0], of[1]);
        PutPair(to + 8 * Tile::kStride, of[2], of[3]);
      }
    });
  }
  GESSO_BOTH static void PutPair(uint16_t* to, float first, float second) {
    *reinterpret_cast<Words<1>*>(to) = {{PackBf16(first, second)}};
  }
  GESSO_BOTH static void PutPair(float* to, float first, float second) {
    *reinterpret_cast<Words<2>*>(to) = {{FloatToBits(first), FloatToBits(second)}};
  }

  // Tokens from `first` on; zeros where there are none.
  template <class Threads>
  GESSO_BOTH void LoadTile(Threads& threads, const Part& part, int first,
                           const TileMemory& tile) const {
    LoadRows<kWidth>(threads, part, terms.b, b_in_chunks, part.group, 0, first, tile.b);
    if (kWrites)
      LoadRows<kWidth>(threads, part, terms.c, c_in_chunks, part.group, 0, first, tile.c);
    LoadRows<kChannels>(threads, part, terms.x, x_in_chunks, part.head, part.channel, first,
                        tile.x);
  }

  // From number `from` of each row on, up to kCount of them and to a multiple of 16.
  template <int kCount, class Threads>
  GESSO_BOTH void LoadRows(Threads& threads, const Part& part, const SsdRows& rows, bool in_chunks,
                           int head, int from, int first, Element* to) const {
    const int size = rows.size - from;
    const int padded = (size < kCount ? size + 15 : kCount) / 16 * 16;
    const int64_t begin = rows.strides.At(part.picture, first, head) + from;
    constexpr int kInChunk = 16 / sizeof(Element);
    constexpr int kStride = kCount + Products::kPad;
    threads.ForEach([&](int t) {
      const int each = in_chunks ? kInChunk : 1;
      for (int i = t * each; i < kTokens * kCount; i += threads.count() * each) {
        const int slot = i / kCount;
        const int n = i % kCount;
        if (n >= padded) continue;
        const bool exists = first + slot < part.end && n < size;
        const int64_t at = exists ? begin + (slot * rows.token + n) : 0;
        Element* const there = to + slot * kStride + n;
        if (in_chunks) {
          threads.Copy(there, static_cast<const Element*>(rows.values.data) + at, exists);
        } else {
          *there = exists ? Products::Round(rows.values.Get(at)) : 0;
        }
      }
    });
  }

  // y of the tile's tokens: of what came before, and of each other.
  template <class Threads>
  GESSO_BOTH void TakeTokens(Threads& threads, const Part& part, const Memory& memory,
                             const TileMemory& tile, Work<Threads>& work) const {
    const auto states = static_cast<int>(terms.shape.states);
    threads.ForEachWarp([&](int thread) {
      const Element* const c = tile.c + FirstRow(thread) * Tile::kStride;
      const int column = FirstColumn(thread);
      const int count = FirstRow(thread) + 16;  // tokens that come before one of the warp's
      Products::template Multiply<kWidth, kTokens / 8>(threads, c, tile.b, states, count,
                                                       work.weights);
      threads.ForEach([&](int t) { Weigh(memory, t, work); });
      Products::template Multiply<kWidth, kColumns / 8>(threads, c,
                                                        memory.states + column * Tile::kStride,
                                                        states, part.channels - column, work.y);
      threads.ForEach([&](int t) {
        const float decays[2] = {Exp2(memory.sums[RowOf(t, 0)].high),
                                 Exp2(memory.sums[RowOf(t, 1)].high)};
        ForEachNumber<kColumns / 8, Threads>(t, work.y,
                                             [&](int r, int, float& y) { y *= decays[r]; });
      });
      Products::template Add<Tile::kXStride, kColumns / 8>(threads, work.weights, tile.x + column,
                                                           count, work.y);
    });
  }
  // Products of c and b become what x is multiplied by.
  template <class Threads>
  GESSO_BOTH static void Weigh(const Memory& memory, int t, Work<Threads>& work) {
    const SsdSum at[2] = {memory.sums[RowOf(t, 0)], memory.sums[RowOf(t, 1)]};
    ForEachNumber<kTokens / 8, Threads>(t, work.weights, [&](int r, int j, float& weight) {
      const float decay = Exp2(at[r].Minus(memory.sums[j]));
      weight = j <= RowOf(t, r) ? weight * (decay * memory.steps[j]) : 0;
    });
  }

  template <class Threads>
  GESSO_BOTH void StoreTokens(Threads& threads, const Part& part, int first, int count,
                              const Memory& memory, const TileMemory& tile,
                              Work<Threads>& work) const {
    const bool in_pairs = terms.out.bf16 && terms.head_dim % 2 == 0 &&
                          reinterpret_cast<uintptr_t>(terms.out.data) % 4 == 0;
    const int64_t begin = (part.picture * terms.shape.length + first) * terms.shape.channels +
                          part.head * terms.head_dim + part.channel;
    threads.ForEach([&](int t) {
      GESSO_UNROLL for (int r = 0; r < 2; ++r) {
        const int slot = RowOf(t, r);
        if (slot >= count) break;
        const int row = slot * static_cast<int>(terms.shape.channels);
        GESSO_UNROLL for (int n = 0; n < kColumns / 8; ++n) {
          const int p = FirstColumn(t) + n * 8 + 2 * PlaceInGroup(t);
          if (p >= part.channels) break;
          const Element* const x = tile.x + slot * Tile::kXStride + p;
          float y[2];
          GESSO_UNROLL for (int i = 0; i < 2; ++i) {
            y[i] = work.y[n][t].at[2 * r + i] + memory.skips[p + i] * Products::Number(x[i]);
          }
          if (in_pairs) {
            PutPair(static_cast<uint16_t*>(terms.out.data) + begin + (row + p), y[0], y[1]);
          } else {
            terms.out.Set(begin + (row + p), y[0]);
            if (p + 1 < part.channels) terms.out.Set(begin + (row + p + 1), y[1]);
          }
        }
      }
    });
  }

  template <class Threads>
  GESSO_BOTH void AdvanceStates(Threads& threads, const Memory& memory, const TileMemory& tile,
                                int count, Work<Threads>& work) const {
    threads.ForEach([&](int t) {
      ForEachNumber<kStates / 8, Threads>(t, work.states,
                                          [&](int, int, float& h) { h *= work.own[t].tile_decay; });
      ForEachNumber<kTokens / 8, Threads>(t, work.weights, [&](int r, int token, float& weight) {
        const Element x = tile.x[token * Tile::kXStride + RowOf(t, r)];
        weight = Products::Number(x) * memory.shares[token];
      });
    });
    AddToStates(threads, tile, count, work);
    if constexpr (kRounds) {
      threads.ForEach([&](int t) {
        ForEachNumber<kTokens / 8, Threads>(t, work.weights, [&](int, int, float& weight) {
          weight -= Products::Number(Products::Round(weight));
        });
      });
      AddToStates(threads, tile, count, work);
    }
  }
  template <class Threads>
  GESSO_BOTH void AddToStates(Threads& threads, const TileMemory& tile, int count,
                              Work<Threads>& work) const {
    threads.ForEachWarp([&](int thread) {
      Products::template Add<Tile::kStride, kStates / 8>(
          threads, work.weights, tile.b + FirstState(thread), count, work.states);
    });
  }

  // The last chunk's states to final_state, or, of ends, those and the decay to the carry.
  template <class Threads>
  GESSO_BOTH void StoreStates(Threads& threads, const Part& part, Work<Threads>& work) const {
    float* to = nullptr;
    if (!kWrites) {
      to = carry.states + StatesAt(part, Place(part));
    } else if (part.end == terms.shape.length && !terms.final_state.absent()) {
      to = static_cast<float*>(terms.final_state.data) +
           StatesAt(part, part.picture * terms.shape.channels);
    }
    if (to == nullptr) return;
    const auto states = static_cast<int>(terms.shape.states);
    threads.ForEach([&](int t) {
      ForEachNumber<kStates / 8, Threads>(t, work.states, [&](int r, int column, float& number) {
        const int channel = RowOf(t, r);
        const int n = FirstState(t) + column;
        if (channel < part.channels && n < states) to[channel * states + n] = number;
      });
      if (kWrites || t >= part.channels) return;
      carry.exponents[Place(part) + part.head * terms.head_dim + part.channel + t] =
          work.own[t].whole;
    });
  }
};

}  // namespace gesso::cuda
