// What a block of a selective scan works at, what it has in shared memory, and how its threads
// share that out.
#pragma once

#include "kernels/cuda/device/scan_terms.cuh"

namespace gesso::cuda {

static_assert(kScanLanes == kWarp);

constexpr int kScanPair = 2;                           // channels of a lane
constexpr int kScanHalves = 2;                         // of a warp: even states, odd states
constexpr int kScanAtOnce = 2;                         // states that a lane takes in a turn
constexpr int kScanTurns = kScanTokens / kScanHalves;  // through a tile, with kScanRows states
constexpr int kScanRows = kScanTurns * kScanHalves * kScanAtOnce;
constexpr int kScanRowStride = kScanTokens + 4;       // of b and c in shared memory
constexpr int kScanStateStride = 2 * kScanLanes + 4;  // of states and their rates

// A warp has gone through a tile when the one after it has its first states.
static_assert(kScanTurns == kScanWarps);

// Of a warp: its tokens' steps and inputs, sums of both halves, and two times rows of b and of c.
constexpr int kScanWarpFloats =
    (2 + kScanHalves) * kScanTokens * kScanLanes + 2 * 2 * kScanRows * kScanRowStride;

// With those that a warp takes through its tokens for nothing.
GESSO_BOTH constexpr int PaddedScanStates(int states) {
  constexpr int kOfTurn = kScanHalves * kScanAtOnce;
  return (states + kOfTurn - 1) / kOfTurn * kOfTurn;
}

// Of a block: what warps have, two numbers a channel, the states and their rates.
constexpr size_t ScanSharedBytes(int64_t states) {
  const auto padded = static_cast<size_t>(PaddedScanStates(static_cast<int>(states)));
  return (size_t{kScanWarps} * kScanWarpFloats + 2 * kScanLanes + padded * kScanStateStride) *
         sizeof(float);
}

GESSO_BOTH int ScanWarpOf(int t) { return t / kWarp; }
GESSO_BOTH int ScanHalfOf(int t) { return t % kWarp / (kWarp / kScanHalves); }
// The first of a lane's channels.
GESSO_BOTH int ScanPairOf(int t) { return t % (kWarp / kScanHalves) * kScanPair; }

// One chunk of up to kScanLanes channels of a picture, in one direction.
struct ScanPart {
  const SelectiveTerms& terms;
  const ScanCarry& carry;
  int picture, chunk, group;
  int channel;  // the first of `channels`
  int channels;
  int begin, end;  // steps
  int tiles;
  int states, runs;  // through a tile, of kScanRows states each

  // all: blocks of all scans together, which go through `chunks` chunks.
  GESSO_BOTH static ScanPart Of(const SelectiveScans& scans, int all, int chunks) {
    const int blocks = BlocksOfScan(scans, chunks);
    return ScanPart(scans, all / blocks, all % blocks, chunks);
  }
  GESSO_BOTH static int BlocksOfScan(const SelectiveScans& scans, int chunks) {
    const ScanShape& shape = scans.terms[0].shape;
    return static_cast<int>(shape.pictures * shape.ChannelBlocks()) * chunks;
  }

  // Where the states [channels, N] of the block begin among those of all channels of [.., D, N].
  GESSO_BOTH int64_t StatesAt(int64_t row) const {
    return (row * terms.shape.channels + channel) * states;
  }
  GESSO_BOTH float Bias(int i) const {
    return i < channels ? terms.delta_bias.GetOr(channel + i, 0) : 0;
  }

 private:
  GESSO_BOTH ScanPart(const SelectiveScans& scans, int scan, int block, int chunks)
      : terms(scans.terms[scan]), carry(scans.carry[scan]) {
    const ScanShape& shape = terms.shape;
    const auto length = static_cast<int>(shape.length);
    const auto tokens = static_cast<int>(scans.chunks.tokens);
    const int a_group = static_cast<int>(shape.channels) / static_cast<int>(shape.groups);
    const auto blocks_of_group = static_cast<int>(shape.BlocksOfGroup());
    const int blocks = blocks_of_group * static_cast<int>(shape.groups);
    const int place = block % blocks;
    const int first = place % blocks_of_group * kScanLanes;
    picture = block / blocks / chunks;
    chunk = block / blocks % chunks;
    group = place / blocks_of_group;
    channel = group * a_group + first;
    channels = a_group - first < kScanLanes ? a_group - first : kScanLanes;
    begin = chunk * tokens;
    end = length - begin < tokens ? length : begin + tokens;
    tiles = (end - begin + kScanTile - 1) / kScanTile;
    states = static_cast<int>(shape.states);
    runs = (states + kScanRows - 1) / kScanRows;
  }
};

// What a warp does in kScanTurns turns: its tokens of a tile, from step `first` on, and some
// states.
struct ScanRun {
  int first;
  int states;  // times kScanRows

  GESSO_BOTH ScanRun Next(const ScanPart& part) const {
    return states + 1 < part.runs ? ScanRun{first, states + 1} : ScanRun{first + kScanTile, 0};
  }
};

// Numbers of a lane's channels.
struct alignas(8) ScanPair {
  float at[kScanPair];
};
// Of a state, tokens of a warp.
struct alignas(16) ScanRow {
  float at[kScanTokens];
};
struct alignas(16) ScanStates {
  ScanPair h, rate;
};

struct ScanMemory {
  float* warps;
  float *skips, *biases;  // of channels: what u is multiplied by, and what is added to delta
  float* states;          // [N, kScanStateStride]

  GESSO_BOTH explicit ScanMemory(void* shared)
      : warps(static_cast<float*>(shared)),
        skips(warps + kScanWarps * kScanWarpFloats),
        biases(skips + kScanLanes),
        states(biases + kScanLanes) {}

  GESSO_BOTH static ScanPair& PairAt(float* numbers, int t) {
    return *reinterpret_cast<ScanPair*>(numbers + ScanPairOf(t));
  }
  // Of the lane's channels and token k of its warp.
  GESSO_BOTH ScanPair& Step(int t, int k) const { return PairAt(Token(t, k), t); }
  GESSO_BOTH ScanPair& Input(int t, int k) const { return PairAt(Token(t, kScanTokens + k), t); }
  GESSO_BOTH ScanPair& Sum(int t, int half, int k) const {
    return PairAt(Token(t, (2 + half) * kScanTokens + k), t);
  }
  // Row i of those of b, and kScanRows further on of c; rows: which of two times.
  GESSO_BOTH ScanRow& RowAt(int t, int rows, int i) const {
    float* const first = Token(t, (2 + kScanHalves) * kScanTokens);
    return *reinterpret_cast<ScanRow*>(first + (rows * 2 * kScanRows + i) * kScanRowStride);
  }
  // Of channel `channel` and the next.
  GESSO_BOTH ScanStates& StatesAt(int n, int channel) const {
    return *reinterpret_cast<ScanStates*>(states + n * kScanStateStride + channel * 2);
  }

 private:
  GESSO_BOTH float* Token(int t, int k) const {
    return warps + ScanWarpOf(t) * kScanWarpFloats + k * kScanLanes;
  }
};

// from: of the states that the part starts with, which begin at number `at`, or absent: zeros.
template <class Threads>
GESSO_BOTH void LoadScanStates(Threads& threads, const ScanPart& part, const ScanMemory& memory,
                               const Numbers& from, int64_t at) {
  threads.ForEach([&](int t) {
    for (int i = t; i < kScanLanes * part.states; i += threads.count()) {
      const int channel = i / part.states;
      const int n = i - channel * part.states;
      const bool exists = channel < part.channels;
      ScanStates& to = memory.StatesAt(n, channel / kScanPair * kScanPair);
      to.h.at[channel % kScanPair] = exists ? from.GetOr(at + i, 0) : 0;
      to.rate.at[channel % kScanPair] = exists ? part.terms.Rate(part.channel + channel, n) : 0;
    }
    if (t < kScanLanes / kScanPair) {
      for (int n = part.states; n < PaddedScanStates(part.states); ++n) {
        memory.StatesAt(n, t * kScanPair) = {};
      }
    }
    if (t >= kScanLanes) return;
    memory.skips[t] = t < part.channels ? part.terms.d.GetOr(part.channel + t, 0) : 0;
    memory.biases[t] = part.Bias(t);
  });
}

template <class Threads>
GESSO_BOTH void StoreScanStates(Threads& threads, const ScanPart& part, const ScanMemory& memory,
                                float* to) {
  threads.ForEach([&](int t) {
    for (int i = t; i < part.channels * part.states; i += threads.count()) {
      const int channel = i / part.states;
      const int n = i - channel * part.states;
      to[i] = memory.StatesAt(n, channel / kScanPair * kScanPair).h.at[channel % kScanPair];
    }
  });
}

}  // namespace gesso::cuda
