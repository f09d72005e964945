#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/block_launch.cuh"
#include "kernels/cuda/device/flash_attention.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

constexpr int kMostThreads = kMostFlashWarps * kWarp;

template <class Keys, class Products, class Args>
FlashTile TileOf(const Args& args) {
  return ChooseFlashTile<Products>(Keys(args), args.q.shape[0] * args.q.shape[-2], args.q.shape[-1],
                                   Limits());
}

template <class Keys, class Args>
FlashTile TileOf(const Args& args) {
  return args.q.dtype == DType::kBF16 ? TileOf<Keys, Bf16Products>(args)
                                      : TileOf<Keys, Float32Products>(args);
}

template <class Body, class Args>
void Launch(const Args& args, const FlashTile& tile) {
  ForEachBlock<kMostThreads, 1>(Body(args, tile.warps), tile.warps * kWarp, tile.shared_bytes);
}

template <class Keys, class Products, class Args>
void LaunchAtWidth(const Args& args) {
  const FlashTile tile = TileOf<Keys, Products>(args);
  if (tile.width == 32) return Launch<AttentionBlock<Keys, Products, 32>>(args, tile);
  if (tile.width == 64) return Launch<AttentionBlock<Keys, Products, 64>>(args, tile);
  Launch<AttentionBlock<Keys, Products, kMostFlashChannels>>(args, tile);
}

template <class Keys, class Args>
void Run(const Args& args) {
  if (args.q.dtype == DType::kBF16) return LaunchAtWidth<Keys, Bf16Products>(args);
  LaunchAtWidth<Keys, Float32Products>(args);
}

template <class Keys, class Args>
std::optional<std::string_view> WhyNot(const Args& args) {
  if (const auto reason = WhyNotFlash(args.q, args.k, args.v)) return reason;
  if (TileOf<Keys>(args).warps == 0) return "too little shared memory for a block";
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> WhyNotFlashAttention(const AttentionArgs& args) {
  if (const auto reason = WhyNotAttention(args)) return reason;
  return WhyNot<AllKeys>(args);
}

void FlashAttention(Context&, const AttentionArgs& args) { Run<AllKeys>(args); }

std::optional<std::string_view> WhyNotFlashWindowAttention(const WindowAttentionArgs& args) {
  if (const auto reason = WhyNotWindowAttention(args)) return reason;
  return WhyNot<WindowKeys>(args);
}

void FlashWindowAttention(Context&, const WindowAttentionArgs& args) { Run<WindowKeys>(args); }

std::optional<std::string_view> WhyNotFlashNeighborhoodAttention(
    const NeighborhoodAttentionArgs& args) {
  if (const auto reason = WhyNotNeighborhoodAttention(args)) return reason;
  return WhyNot<NeighborKeys>(args);
}

void FlashNeighborhoodAttention(Context&, const NeighborhoodAttentionArgs& args) {
  Run<NeighborKeys>(args);
}

}  // namespace gesso::cuda
