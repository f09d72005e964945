// How scans (device/scan.cuh, device/ssd.cuh) are cut into blocks of threads, and long sequences of
// few channels into chunks of tokens. Decided on the host, without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gesso::cuda {

constexpr int kScanLanes = 32;  // channels of a block
constexpr int kScanWarps = 4;   // of a block
constexpr int kScanTokens = 8;  // in a row that a warp has of a tile
constexpr int kScanTile = kScanWarps * kScanTokens;
constexpr int kScanBlocks = 3;  // that a multiprocessor holds at once
constexpr int kMostScanStates = 256;

struct ScanShape {
  int64_t pictures, length, channels, states;
  int64_t groups;  // of channels, each with its own b and c

  // Blocks that all channels take; none works at channels of two groups.
  constexpr int64_t BlocksOfGroup() const {
    return (channels / groups + kScanLanes - 1) / kScanLanes;
  }
  constexpr int64_t ChannelBlocks() const { return groups * BlocksOfGroup(); }
};

struct ScanChunks {
  int64_t count;
  int64_t tokens;  // of each but the last, a multiple of the tile
};

// What a kind of scan costs, in the time that a block by itself on a multiprocessor takes a tile.
// By counts of instructions.
struct ScanCosts {
  int tile;         // tokens of it
  int resident;     // blocks that a multiprocessor holds at once
  double shared;    // a tile of each of n resident blocks takes n times this, at least 1
  double fill;      // until a block is at work, and until it has done
  double end;       // a tile of which the end alone is wanted
  double launches;  // two more of them
};
constexpr ScanCosts kSelectiveCosts = {kScanTile, kScanBlocks, 0.8, 1.5, 0.7, 4};
constexpr ScanCosts SsdCosts(int tile, int resident) { return {tile, resident, 0.5, 0.5, 0.4, 2}; }

// Of one chunk everything is read once, tile after tile. More of them keep more multiprocessors
// busy, but all but the last are gone through twice, for their ends before what they give, and take
// two launches more. blocks: those of one chunk.
inline ScanChunks ChooseScanChunks(int64_t length, int64_t blocks, const ScanCosts& costs,
                                   int multiprocessors) {
  const int64_t tiles = (length + costs.tile - 1) / costs.tile;
  const auto time = [&](int64_t all, double each) {
    const int64_t a_wave = int64_t{multiprocessors} * costs.resident;
    const int64_t waves = (all + a_wave - 1) / a_wave;
    const int64_t together = (std::min(all, a_wave) + multiprocessors - 1) / multiprocessors;
    return static_cast<double>(waves) * (each + costs.fill) *
           std::max(1.0, static_cast<double>(together) * costs.shared);
  };
  const int64_t most =
      std::clamp<int64_t>(int64_t{costs.resident} * multiprocessors / blocks, 1, tiles);
  int64_t best = tiles;
  double least = time(blocks, static_cast<double>(tiles));
  for (int64_t count = 2; count <= most; ++count) {
    const int64_t each = (tiles + count - 1) / count;
    const int64_t chunks = (tiles + each - 1) / each;
    const auto length_of_each = static_cast<double>(each);
    const double total = time(blocks * chunks, length_of_each) + costs.launches +
                         time(blocks * (chunks - 1), length_of_each) * costs.end;
    if (total < least) {
      least = total;
      best = each;
    }
  }
  return {(tiles + best - 1) / best, best * costs.tile};
}

}  // namespace gesso::cuda
