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

// Blocks that are to fit on a multiprocessor, by the registers that their warps need.
template <class Products, int kWidth, int kTiles>
constexpr int kLeastBlocks = kTiles* kWidth* static_cast<int>(sizeof(typename Products::Element)) <=
                                     256
                                 ? 3
                                 : 2;

template <class Keys, class Products, int kWidth, int kTiles, class Args>
void Launch(const Args& args, const FlashTile& tile) {
  ForEachBlock<kMostThreads, kLeastBlocks<Products, kWidth, kTiles>>(
      AttentionBlock<Keys, Products, kWidth, kTiles>(args, tile), tile.warps * kWarp,
      tile.shared_bytes);
}

template <class Keys, class Products, int kWidth, class Args>
void LaunchWithTiles(const Args& args, const FlashTile& tile) {
  if constexpr (HasTwoTiles<Keys, Products>(kWidth)) {
    if (tile.tiles == 2) return Launch<Keys, Products, kWidth, 2>(args, tile);
  }
  Launch<Keys, Products, kWidth, 1>(args, tile);
}

template <class Keys, class Products, class Args>
void LaunchAtWidth(const Args& args) {
  const FlashTile tile = TileOf<Keys, Products>(args);
  if (tile.width == 32) return LaunchWithTiles<Keys, Products, 32>(args, tile);
  if (tile.width == 64) return LaunchWithTiles<Keys, Products, 64>(args, tile);
  LaunchWithTiles<Keys, Products, kMostFlashChannels>(args, tile);
}

template <class Keys, class Args>
void Run(const Args& args) {
  if (args.q.dtype == DType::kBF16) return LaunchAtWidth<Keys, Bf16Products>(args);
  if (args.factors == Factors::kRounded) return LaunchAtWidth<Keys, RoundedProducts>(args);
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

void FlashAttention(Context&, const AttentionArgs& args) {
  if (args.bias.empty() && args.key_mask.empty()) return Run<AllKeys>(args);
  Run<ChosenKeys>(args);
}

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
