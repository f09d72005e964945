#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/device/block_threads.cuh"
#include "kernels/cuda/device/flash_attention.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

constexpr int kMostThreads = kMostFlashWarps * kWarp;

template <class Body>
__global__ void __launch_bounds__(kMostThreads) ForEachBlockKernel(int64_t blocks, Body body) {
  extern __shared__ __align__(16) unsigned char shared[];
  BlockThreads threads;
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    body(block, threads, shared);
  }
}

BlockLimits Limits() {
  static const BlockLimits limits = [] {
    int bytes = 0;
    int multiprocessors = 0;
    Check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
          "asking for the GPU's properties");
    Check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0),
          "asking for the GPU's properties");
    return BlockLimits{static_cast<size_t>(bytes), multiprocessors};
  }();
  return limits;
}

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
  // More shared memory than 48 KiB has to be asked for, once a kernel.
  static size_t granted = size_t{48} << 10;
  if (tile.shared_bytes > granted) {
    Check(
        cudaFuncSetAttribute(ForEachBlockKernel<Body>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(tile.shared_bytes)),
        "asking for shared memory");
    granted = tile.shared_bytes;
  }
  const Body body(args, tile.warps);
  ForEachBlockKernel<<<BlocksFor(body.Blocks(), 1), tile.warps * kWarp, tile.shared_bytes,
                       Stream()>>>(body.Blocks(), body);
  Check(cudaGetLastError(), "launching a kernel");
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
