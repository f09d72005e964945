#include "kernels/cuda/norm.h"

#include "kernels/cuda/device/group_norm.cuh"
#include "kernels/cuda/device/norm.cuh"
#include "kernels/cuda/quad_launch.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

enum GroupNormScratch { kParts, kMoments };
static_assert(kMoments < kScratchSlots);

// Rows in registers where they fit.
template <template <int> class InQuads, class Row>
void NormRows(const Row& row) {
  const int64_t rows = row.Rows();
  if (!row.InQuads() || row.size > kMostInQuads) {
    if (row.size <= 1024) return ForEachRow<WarpLanes>(rows, row);
    return ForEachRow<BlockLanes>(rows, row);
  }
  ShareOutRows(rows, row.size,
               [&]<class Lanes, int kQuads>() { ForEachRow<Lanes>(rows, InQuads<kQuads>(row)); });
}

void GroupNormInStrips(const GroupNormArgs& args) {
  const GroupNormRow row(args);
  const GroupNormStrips strips(args.x.shape[0], row.pixels, row.channels, Limits().multiprocessors);
  const int64_t groups = args.x.shape[0] * args.groups;
  auto* const parts = static_cast<GroupMoments*>(
      Scratch(kParts, static_cast<size_t>(groups * strips.count) * sizeof(GroupMoments)));
  auto* const moments = static_cast<GroupMoments*>(
      Scratch(kMoments, static_cast<size_t>(groups) * sizeof(GroupMoments)));
  const GroupStripMoments of_strips(args, strips, parts);
  ForEachBlock<kGroupNormThreads, kGroupNormBlocks>(of_strips, strips.Threads(),
                                                    of_strips.SharedBytes());
  ForEachRow<BlockLanes>(groups, GroupMomentsRow(row, strips, parts, moments));
  ForEachBlock<kGroupNormThreads, kGroupNormBlocks>(GroupNormStrip(args, strips, moments),
                                                    strips.Threads(), 0);
}

}  // namespace

std::optional<std::string_view> WhyNotRmsNorm(const RmsNormArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.shift, args.out});
}

void RmsNorm(Context&, const RmsNormArgs& args) { NormRows<RmsNormQuads>(RmsNormRow(args)); }

std::optional<std::string_view> WhyNotLayerNorm(const LayerNormArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.shift, args.out});
}

void LayerNorm(Context&, const LayerNormArgs& args) {
  NormRows<LayerNormQuads>(LayerNormRow(args));
}

std::optional<std::string_view> WhyNotGroupNorm(const GroupNormArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.shift, args.out});
}

void GroupNorm(Context&, const GroupNormArgs& args) {
  const int64_t groups = args.x.shape[0] * args.groups;
  const GroupNormRow row(args);
  if (GroupNormQuads::Accepts(row, BlockLanes::kCount)) {
    return ForEachRow<BlockLanes>(groups, GroupNormQuads(row));
  }
  if (GroupNormStrips::Accepts(row)) return GroupNormInStrips(args);
  ForEachRow<BlockLanes>(groups, row);
}

}  // namespace gesso::cuda
