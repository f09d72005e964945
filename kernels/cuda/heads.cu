#include "kernels/cuda/heads.h"

#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

// Heads in registers where they lie so, by no more lanes than have numbers.
template <class InQuads, class Row>
void ForEachHead(const Row& row) {
  const int64_t rows = row.Rows();
  if (!row.InQuads()) return ForEachRow<WarpLanes>(rows, row);
  constexpr int kOfLane = kHeadQuads * kQuad;
  if (row.head_dim <= 4 * kOfLane) return ForEachRow<LanesOfWarp<4>>(rows, InQuads(row));
  if (row.head_dim <= 8 * kOfLane) return ForEachRow<LanesOfWarp<8>>(rows, InQuads(row));
  if (row.head_dim <= 16 * kOfLane) return ForEachRow<LanesOfWarp<16>>(rows, InQuads(row));
  ForEachRow<WarpLanes>(rows, InQuads(row));
}

}  // namespace

std::optional<std::string_view> WhyNotRope(const RopeArgs& args) {
  return WhyNotReachable({args.x, args.scale, args.cos, args.sin});
}

void Rope(Context&, const RopeArgs& args) { ForEachHead<RopeQuads>(RopeRow(args)); }

std::optional<std::string_view> WhyNotPrepareHeads(const PrepareHeadsArgs& args) {
  if (const auto reason = WhyNotCounted(args)) return reason;
  for (const HeadPart& part : args.parts) {
    if (const auto reason = WhyNotReachable({part.x, part.scale, part.out})) return reason;
  }
  return WhyNotReachable({args.cos, args.sin, args.positions});
}

void PrepareHeads(Context&, const PrepareHeadsArgs& args) {
  ForEachHead<PrepareHeadsQuads>(PrepareHeadsRow(args));
}

}  // namespace gesso::cuda
