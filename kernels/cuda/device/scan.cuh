// Selective scans, parallel over channels, states and tokens. A block has 32 channels and a chunk
// of the tokens, which it goes through tile by tile. Each of its warps has 8 tokens of a tile, and
// each lane two channels of those and every other state. Warps follow each other: when one has
// taken four states through its tokens, these go on to the next warp, and it takes the next four.
// All warps are at work at once, no exponential is computed twice, and what a state is lies in one
// place.
//
// Between two barriers, in a turn, a warp takes four states through its tokens, makes two of the
// tokens ready that it will have in the next tile and finishes two of the last one. What that needs
// from memory has been asked for a turn before, so that no turn takes longer than others.
//
// Of several chunks (scan_plan.h) the ends come first, from zeros; ScanStartsElement makes starts
// of them, from which the chunks are gone through once more.
//
// Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces".
#pragma once

#include "kernels/cuda/device/scan_part.cuh"

namespace gesso::cuda {

// kWrites: what a chunk gives, from where it starts; if not so: its end from zeros, of all chunks
// but the last.
template <ScanType kType, bool kWrites>
struct ScanBlock {
  using Bits = ScanBits<kType>;

  SelectiveScans scans;

  int64_t Blocks() const { return int64_t{scans.count} * ScanPart::BlocksOfScan(scans, Chunks()); }
  size_t SharedBytes() const {
    return ScanSharedBytes(
        std::max(scans.terms[0].shape.states, scans.terms[scans.count - 1].shape.states));
  }

  // shared: SharedBytes(), aligned to 16 bytes.
  template <class Threads>
  GESSO_BOTH void operator()(int64_t block, Threads& threads, void* shared) const {
    const auto part = ScanPart::Of(scans, static_cast<int>(block), Chunks());
    const ScanMemory memory(shared);
    typename Threads::template Each<Own> own;
    threads.ForEach([&](int t) { Begin(part, t, own[t]); });
    LoadStates(threads, part, memory);
    threads.ForEach([&](int t) { PutFirst(part, memory, t, own[t]); });
    threads.Barrier();
    const int turns = part.tiles * part.runs * kScanTurns + kScanWarps - 1;
    const int end = part.begin + part.tiles * kScanTile;
    for (int turn = 0; turn < turns; ++turn) {
      threads.ForEachWarp([&](int thread) {
        if (turn < ScanWarpOf(thread) || own[thread].now.first >= end) return;
        threads.ForEach([&](int t) {
          if (own[t].turn == 0 && own[t].now.states == 0) TakeInputs(memory, t, own[t]);
          if (kWrites && Finishes(part, own[t])) Finish(part, memory, t, own[t]);
        });
        threads.WarpBarrier();  // what was read just now may be overwritten
        threads.ForEach([&](int t) {
          Advance(part, memory, t, own[t]);
          MakeReady(part, memory, t, own[t]);
          EndTurn(part, memory, t, own[t]);
        });
      });
      threads.Barrier();
    }
    if constexpr (kWrites) {
      threads.ForEach([&](int t) { FinishTile(part, memory, t, own[t]); });
    } else {
      StoreExponents(threads, part, memory, own);
    }
    StoreStates(threads, part, memory);
  }

 private:
  // Of a token: u and delta of the lane's channels, and two of its numbers of b or c. Where there
  // is no token they are those of another one: without a step they do not count.
  struct Inputs {
    Bits u, delta, row;
    bool exists;
  };

  struct Own {
    ScanPair step[kScanTokens], input[kScanTokens], y[kScanTokens];
    ScanRun now, asked;  // where the warp is, and which tokens are to be asked for next
    int turn;            // of the run: which states
    int rows;            // which of two times rows are read
    // To the first tokens that the lane asks for in `asked`, and that it has in `now`; half of its
    // warp makes ready and finishes the even tokens, the other the odd ones.
    ScanWalk u, delta, row, z, out;
    int end, row_end;  // of the steps in which the lane has channels, and a row
    int flags;
    float whole[kScanPair];  // sums of the steps
    Inputs inputs;
    Inputs first_inputs[kScanTurns];  // of the first tile
    ScanPair first_bias;
    Bits z_bits;
  };

  GESSO_BOTH int Chunks() const { return static_cast<int>(scans.chunks.count) - (kWrites ? 0 : 1); }

  // As the lane of a row: two numbers of b, or of c in the upper half of those that share a token.
  GESSO_BOTH static int RowOf(int t) { return t % kScanRows * 2; }
  GESSO_BOTH static bool HasC(int t) { return RowOf(t) >= kScanRows; }
  GESSO_BOTH static int RowState(const ScanRun& run, int t) {
    return run.states * kScanRows + RowOf(t) % kScanRows;
  }
  GESSO_BOTH static int RowEnd(const ScanPart& part, const ScanRun& run, int t) {
    return (kWrites || !HasC(t)) && RowState(run, t) < part.states ? part.end : 0;
  }

  // Asks for the first tile.
  GESSO_BOTH void Begin(const ScanPart& part, int t, Own& mine) const {
    const SelectiveTerms& of = part.terms;
    const int channel = part.channel + ScanPairOf(t);
    mine = {};
    mine.now = mine.asked = {part.begin + ScanWarpOf(t) * kScanTokens, 0};
    mine.flags = of.flags;
    mine.end = ScanPairOf(t) < part.channels ? part.end : 0;
    mine.row_end = RowEnd(part, mine.now, t);
    const int64_t token = of.Token(mine.now.first + ScanHalfOf(t));
    const auto walk = [&](const ScanColumns& columns, int i) {
      return columns.From(part.picture, part.group, i, token);
    };
    mine.u = walk(of.u, channel);
    mine.delta = walk(of.delta, channel);
    mine.row = walk(HasC(t) ? of.c : of.b, RowOf(t) % kScanRows);
    if constexpr (kWrites) {
      mine.z = walk(of.z, channel);
      mine.out = walk(of.out, channel);
    }
    GESSO_UNROLL for (int i = 0; i < kScanTurns; ++i) {
      Ask(part, i * kScanHalves, t, mine, mine.first_inputs[i]);
    }
    GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) {
      mine.first_bias.at[i] = part.Bias(ScanPairOf(t) + i);
    }
  }

  // Makes it ready, and asks for the second one.
  GESSO_BOTH void PutFirst(const ScanPart& part, const ScanMemory& memory, int t, Own& mine) const {
    GESSO_UNROLL for (int i = 0; i < kScanTurns; ++i) {
      Put(part, memory, i * kScanHalves, mine.rows, true, mine.first_bias, mine.first_inputs[i], t,
          mine);
    }
    Ask(part, 0, t, mine, mine.inputs);
  }

  // Asks for the lane's one of tokens k and k + 1; after the last goes on to the next run.
  GESSO_BOTH void Ask(const ScanPart& part, int k, int t, Own& mine, Inputs& bits) const {
    const SelectiveTerms& of = part.terms;
    const bool row_bf16 = HasC(t) ? of.c.values.bf16 : of.b.values.bf16;
    const int step = mine.asked.first + k + ScanHalfOf(t);
    bits.exists = step < mine.end;
    if (bits.exists) {
      const bool second = ScanPairOf(t) + 1 < part.channels;
      bits.u.Ask(mine.u.After(k), of.u.values.bf16, second);
      bits.delta.Ask(mine.delta.After(k), of.delta.values.bf16, second);
    }
    if (step < mine.row_end) {
      const bool second = RowState(mine.asked, t) + 1 < part.states;
      bits.row.Ask(mine.row.After(k), row_bf16, second);
    } else if (mine.row_end == 0) {
      bits.row = {};  // of a state that there is not
    }
    if (k == kScanTokens - kScanHalves) {
      const ScanRun next = mine.asked.Next(part);
      const int tokens = next.first - mine.asked.first;
      const int states = (next.states - mine.asked.states) * kScanRows;
      mine.u.at = mine.u.After(tokens);
      mine.delta.at = mine.delta.After(tokens);
      mine.row.at = mine.row.After(tokens) + states * (Bits::IsBf16(row_bf16) ? 2 : 4);
      mine.row_end = RowEnd(part, next, t);
      mine.asked = next;
    }
  }

  // The lane's one of tokens k and k + 1 of what comes next, for the warp's other lanes.
  GESSO_BOTH void Put(const ScanPart& part, const ScanMemory& memory, int k, int rows, bool counts,
                      const ScanPair& bias, const Inputs& bits, int t, Own& mine) const {
    const SelectiveTerms& of = part.terms;
    const bool row_bf16 = HasC(t) ? of.c.values.bf16 : of.b.values.bf16;
    float* const row = memory.RowAt(t, rows, RowOf(t)).at + k + ScanHalfOf(t);
    ScanPair step, u;
    GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) {
      step.at[i] = bits.delta.Number(of.delta.values.bf16, i) + bias.at[i];
    }
    const bool softplus = (mine.flags & SelectiveTerms::kSoftplus) != 0;
    GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) {
      const float smooth = Softplus(step.at[i]);  // without a branch, beside the rest of the turn
      if (softplus) step.at[i] = smooth;
    }
    GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) {
      if (!bits.exists) step.at[i] = 0;
      if (!kWrites && counts) mine.whole[i] += step.at[i];
      u.at[i] = bits.u.Number(of.u.values.bf16, i);
      row[i * kScanRowStride] = bits.row.Number(row_bf16, i);
    }
    memory.Step(t, k + ScanHalfOf(t)) = step;
    memory.Input(t, k + ScanHalfOf(t)) = u;
  }

  // Tokens of the next run, and asks for those after them.
  GESSO_BOTH void MakeReady(const ScanPart& part, const ScanMemory& memory, int t,
                            Own& mine) const {
    const bool counts = mine.now.states + 1 == part.runs;
    const int k = mine.turn * kScanHalves;
    Put(part, memory, k, mine.rows ^ 1, counts, ScanMemory::PairAt(memory.biases, t), mine.inputs,
        t, mine);
    Ask(part, (k + kScanHalves) & (kScanTokens - 1), t, mine, mine.inputs);
  }

  // The tokens of a new tile.
  GESSO_BOTH void TakeInputs(const ScanMemory& memory, int t, Own& mine) const {
    ScanPair skip = ScanMemory::PairAt(memory.skips, t);
    if (ScanHalfOf(t) != 0) skip = {};  // one of the two that have a channel does it
    GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
      mine.step[k] = memory.Step(t, k);
      const ScanPair u = memory.Input(t, k);
      GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) {
        mine.input[k].at[i] = mine.step[k].at[i] * u.at[i];
        if constexpr (kWrites) mine.y[k].at[i] = skip.at[i] * u.at[i];
      }
    }
  }

  // The turn's states through the warp's tokens; some may be none, of zeros. All are read before
  // the first is written, so that none waits for another.
  GESSO_BOTH void Advance(const ScanPart& part, const ScanMemory& memory, int t, Own& mine) const {
    const int first = mine.turn * kScanHalves * kScanAtOnce;
    if (mine.now.states * kScanRows + first >= part.states) return;
    const int row = first + ScanHalfOf(t);
    const int n = mine.now.states * kScanRows + row;
    ScanStates of[kScanAtOnce];
    ScanRow b[kScanAtOnce], c[kScanAtOnce];
    GESSO_UNROLL for (int j = 0; j < kScanAtOnce; ++j) {
      of[j] = memory.StatesAt(n + j * kScanHalves, ScanPairOf(t));
      b[j] = memory.RowAt(t, mine.rows, row + j * kScanHalves);
      if constexpr (kWrites) c[j] = memory.RowAt(t, mine.rows, row + j * kScanHalves + kScanRows);
    }
    GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
      GESSO_UNROLL for (int j = 0; j < kScanAtOnce; ++j) {
        GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) {
          float& h = of[j].h.at[i];
          h = Exp2(of[j].rate.at[i] * mine.step[k].at[i]) * h + mine.input[k].at[i] * b[j].at[k];
          if constexpr (kWrites) mine.y[k].at[i] += c[j].at[k] * h;
        }
      }
    }
    GESSO_UNROLL for (int j = 0; j < kScanAtOnce; ++j) {
      memory.StatesAt(n + j * kScanHalves, ScanPairOf(t)).h = of[j].h;
    }
  }

  GESSO_BOTH void EndTurn(const ScanPart& part, const ScanMemory& memory, int t, Own& mine) const {
    if (++mine.turn < kScanTurns) return;
    mine.turn = 0;
    mine.rows ^= 1;
    mine.now = mine.now.Next(part);
    if constexpr (kWrites) {
      if (mine.now.states == 0) EndTile(part, memory, t, mine);
    }
  }
  GESSO_BOTH void EndTile(const ScanPart& part, const ScanMemory& memory, int t, Own& mine) const {
    GESSO_UNROLL for (int k = 0; k < kScanTokens; ++k) {
      memory.Sum(t, ScanHalfOf(t), k) = mine.y[k];
    }
    mine.z.at = mine.z.After(kScanTile);
    mine.out.at = mine.out.After(kScanTile);
    AskForZ(part, 0, t, mine, mine.z_bits);
  }

  // Whether there is a tile before of which tokens are to be finished in this turn.
  GESSO_BOTH static bool Finishes(const ScanPart& part, const Own& mine) {
    return mine.now.states == 0 && mine.now.first - kScanTile >= part.begin;
  }
  // Whether the lane has one of tokens k and k + 1 of that tile.
  GESSO_BOTH static bool Has(int k, int t, const Own& mine) {
    return mine.now.first - kScanTile + k + ScanHalfOf(t) < mine.end;
  }

  GESSO_BOTH void AskForZ(const ScanPart& part, int k, int t, const Own& mine, Bits& bits) const {
    if ((mine.flags & SelectiveTerms::kGated) == 0 || !Has(k, t, mine)) return;
    bits.Ask(mine.z.After(k - kScanTile), part.terms.z.values.bf16,
             ScanPairOf(t) + 1 < part.channels);
  }

  // Adds up and writes the lane's one of tokens k and k + 1 of that tile.
  GESSO_BOTH void Write(const ScanPart& part, const ScanMemory& memory, int k, const Bits& z_bits,
                        int t, const Own& mine) const {
    if (!Has(k, t, mine)) return;
    ScanPair y = memory.Sum(t, 0, k + ScanHalfOf(t));
    const ScanPair other = memory.Sum(t, 1, k + ScanHalfOf(t));
    GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) y.at[i] += other.at[i];
    if ((mine.flags & SelectiveTerms::kGated) != 0) {
      GESSO_UNROLL for (int i = 0; i < kScanPair; ++i) {
        y.at[i] *= Activated(Activation::kSilu, z_bits.Number(part.terms.z.values.bf16, i));
      }
    }
    Bits::Set(mine.out.After(k - kScanTile), (mine.flags & SelectiveTerms::kBf16Out) != 0, y.at[0],
              y.at[1], ScanPairOf(t) + 1 < part.channels);
  }

  // Tokens of the tile before, and asks for what the next ones need.
  GESSO_BOTH void Finish(const ScanPart& part, const ScanMemory& memory, int t, Own& mine) const {
    const int k = mine.turn * kScanHalves;
    Write(part, memory, k, mine.z_bits, t, mine);
    if (mine.turn + 1 < kScanTurns) AskForZ(part, k + kScanHalves, t, mine, mine.z_bits);
  }

  // The last tile.
  GESSO_BOTH void FinishTile(const ScanPart& part, const ScanMemory& memory, int t,
                             Own& mine) const {
    Bits all[kScanTurns] = {mine.z_bits};
    GESSO_UNROLL for (int i = 1; i < kScanTurns; ++i)
        AskForZ(part, i * kScanHalves, t, mine, all[i]);
    GESSO_UNROLL for (int i = 0; i < kScanTurns; ++i) {
      Write(part, memory, i * kScanHalves, all[i], t, mine);
    }
  }

  template <class Threads>
  GESSO_BOTH void LoadStates(Threads& threads, const ScanPart& part,
                             const ScanMemory& memory) const {
    Numbers from;
    int64_t row = part.picture;
    if (kWrites && scans.chunks.count > 1) {
      from.data = part.carry.states;
      row = row * scans.chunks.count + part.chunk;
    } else if (kWrites) {
      from = part.terms.initial_state;
    }
    LoadScanStates(threads, part, memory, from, part.StatesAt(row));
  }

  // The last chunk's states to final_state, or, of ends, to the carry.
  template <class Threads>
  GESSO_BOTH void StoreStates(Threads& threads, const ScanPart& part,
                              const ScanMemory& memory) const {
    if (!kWrites) {
      const int64_t row = part.picture * scans.chunks.count + part.chunk;
      StoreScanStates(threads, part, memory, part.carry.states + part.StatesAt(row));
    } else if (part.end == part.terms.shape.length && !part.terms.final_state.absent()) {
      StoreScanStates(
          threads, part, memory,
          static_cast<float*>(part.terms.final_state.data) + part.StatesAt(part.picture));
    }
  }

  // The sums of all steps, of which the decay of a chunk is made.
  template <class Threads, class All>
  GESSO_BOTH void StoreExponents(Threads& threads, const ScanPart& part, const ScanMemory& memory,
                                 const All& own) const {
    threads.ForEach([&](int t) {
      memory.Sum(t, ScanHalfOf(t), 0) = {{own[t].whole[0], own[t].whole[1]}};
    });
    threads.Barrier();
    threads.ForEach([&](int t) {
      if (t >= part.channels / kScanPair + part.channels % kScanPair) return;
      float* const to =
          part.carry.exponents +
          (part.picture * scans.chunks.count + part.chunk) * part.terms.shape.channels +
          part.channel + ScanPairOf(t);
      for (int i = 0; i < kScanPair && ScanPairOf(t) + i < part.channels; ++i) {
        float sum = 0;
        for (int warp = 0; warp < kScanWarps; ++warp) {
          for (int half = 0; half < kScanHalves; ++half) {
            sum += memory.Sum(warp * kWarp + t, half, 0).at[i];
          }
        }
        to[i] = sum;
      }
    });
  }
};

}  // namespace gesso::cuda
