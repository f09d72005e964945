#include "kernels/cuda/attention.h"

#include "kernels/cuda/device/attention.cuh"
#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

constexpr int64_t kMostChannels = 256;

std::optional<std::string_view> WhyNot(ConstView q, ConstView k, ConstView v, ConstView out) {
  if (q.shape[-1] > kMostChannels) return "heads of more than 256 channels";
  return WhyNotReachable({q, k, v, out});
}

bool RowsFollow(ConstView grid) {
  return grid.shape[1] == 1 || grid.strides[1] == grid.shape[2] * grid.strides[2];
}

template <class Keys, int kShare, class Args>
void Launch(const Args& args) {
  const AttentionRow<Keys, kShare> body(args);
  ForEachRow<WarpLanes>(body.Rows(args.q.shape[0]), body);
}

template <class Keys, class Args>
void Dispatch(const Args& args) {
  const int64_t share = (args.q.shape[-1] + WarpLanes::kCount - 1) / WarpLanes::kCount;
  if (share <= 1) return Launch<Keys, 1>(args);
  if (share <= 2) return Launch<Keys, 2>(args);
  if (share <= 4) return Launch<Keys, 4>(args);
  Launch<Keys, 8>(args);
}

template <class Args>
std::optional<std::string_view> WhyNotGrid(const Args& args) {
  if (!RowsFollow(args.q) || !RowsFollow(args.k) || !RowsFollow(args.v)) {
    return "rows of the grid do not follow one another in memory";
  }
  return WhyNot(args.q, args.k, args.v, args.out);
}

}  // namespace

std::optional<std::string_view> WhyNotAttention(const AttentionArgs& args) {
  if (const auto reason = WhyNotReachable({args.bias, args.key_mask})) return reason;
  return WhyNot(args.q, args.k, args.v, args.out);
}

void Attention(Context&, const AttentionArgs& args) { Dispatch<ChosenKeys>(args); }

std::optional<std::string_view> WhyNotWindowAttention(const WindowAttentionArgs& args) {
  return WhyNotGrid(args);
}

void WindowAttention(Context&, const WindowAttentionArgs& args) { Dispatch<WindowKeys>(args); }

std::optional<std::string_view> WhyNotNeighborhoodAttention(const NeighborhoodAttentionArgs& args) {
  return WhyNotGrid(args);
}

void NeighborhoodAttention(Context&, const NeighborhoodAttentionArgs& args) {
  Dispatch<NeighborKeys>(args);
}

}  // namespace gesso::cuda
