// How scans (device/scan.cuh) are cut into blocks of threads, and long sequences of few channels
// into chunks of tokens. Decided on the host, without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gesso::cuda {

constexpr int kScanLanes = 32;  // channels of a block, a lane each
constexpr int kScanWarps = 8;   // of a block
constexpr int kScanTokens = 8;  // in a row that a warp has of a tile
constexpr int kScanTile = kScanWarps * kScanTokens;
constexpr int kScanRows = 16;   // states whose b and c are in shared memory together
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
  int64_t tokens;  // of each but the last, a multiple of kScanTile
};

// One chunk is read once, tile after tile. More of them keep more multiprocessors busy, but all but
// the last are gone through twice, for their ends before what they give. They are made where that
// is faster: as many as blocks that the device holds at once.
inline ScanChunks ChooseScanChunks(const ScanShape& shape, int multiprocessors) {
  constexpr int64_t kLaunchTiles = 3;  // what two more launches take, in tiles
  const int64_t tiles = (shape.length + kScanTile - 1) / kScanTile;
  const int64_t blocks = shape.pictures * shape.ChannelBlocks();
  const int64_t most =
      std::clamp<int64_t>(int64_t{kScanBlocks} * multiprocessors / blocks, 1, tiles);
  const int64_t each = (tiles + most - 1) / most;
  if (2 * each + kLaunchTiles >= tiles) return {1, tiles * kScanTile};
  return {(tiles + each - 1) / each, each * kScanTile};
}

}  // namespace gesso::cuda
