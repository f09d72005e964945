// Attentions on the shapes of the oxford-flowers HDiT at 256 pixels and of models that attend to
// all tokens, q, k and v lying in one buffer as they have them.
#include <fmt/format.h>

#include "bench/op_bench.h"
#include "kernels/attention.h"

namespace gesso::bench {

namespace {

constexpr int64_t kDepth = 64;

struct GridShape {
  int64_t batch, side, heads;
  DType dtype;
  int64_t depth = kDepth;

  std::string name() const {
    return fmt::format("{}/{}x{}x{}x{}x{}", NameOf(dtype), batch, side, side, heads, depth);
  }
};

// `Args` is NeighborhoodAttentionArgs or WindowAttentionArgs.
template <class Args>
struct GridCall {
  Args args;

  GridCall(Room& room, const GridShape& s) {
    const View qkv = room.Values({s.batch, s.side, s.side, 3 * s.heads, s.depth}, s.dtype);
    args.q = qkv.Slice(3, 0, s.heads);
    args.k = qkv.Slice(3, s.heads, 2 * s.heads);
    args.v = qkv.Slice(3, 2 * s.heads, 3 * s.heads);
    args.out = room.Empty(args.q.shape, s.dtype);
  }
};

struct WideNeighborhoodCall : GridCall<NeighborhoodAttentionArgs> {
  WideNeighborhoodCall(Room& room, const GridShape& shape, int64_t kernel_size)
      : GridCall(room, shape) {
    args.kernel_size = kernel_size;
  }
};

// The queries are those of the last tokens: of all of them, or of a next-scale model's new scale.
struct AttentionCall {
  AttentionArgs args;

  AttentionCall(Room& room, int64_t batch, int64_t queries, int64_t keys, int64_t heads,
                int64_t depth, DType dtype) {
    const View qkv = room.Values({batch, keys, 3 * heads, depth}, dtype);
    args.q = qkv.Slice(1, keys - queries, keys).Slice(2, 0, heads);
    args.k = qkv.Slice(2, heads, 2 * heads);
    args.v = qkv.Slice(2, 2 * heads, 3 * heads);
    args.out = room.Empty(args.q.shape, dtype);
  }
};

void RegisterLargeAttentions(DType dtype) {
  const auto dense = [&](int64_t batch, int64_t tokens, int64_t heads, int64_t depth) {
    RegisterLarge<AttentionCall>(
        AttentionTable(), fmt::format("{}/{}x{}x{}x{}", NameOf(dtype), batch, tokens, heads, depth),
        batch, tokens, tokens, heads, depth, dtype);
  };
  dense(1, 4096, 16, 128);
  dense(8, 1024, 16, 64);
  dense(2, 4096, 24, 64);
  // HDiT at 1024 pixels.
  for (const GridShape& shape :
       {GridShape{1, 256, 2, dtype}, GridShape{1, 128, 4, dtype}, GridShape{8, 256, 2, dtype}}) {
    RegisterLarge<GridCall<NeighborhoodAttentionArgs>>(NeighborhoodAttentionTable(), shape.name(),
                                                       shape);
    RegisterLarge<GridCall<WindowAttentionArgs>>(WindowAttentionTable(), shape.name(), shape);
  }
  // Flux at 4096 pixels. NATTEN's docs/profiler.md: a neighborhood of 80 x 80, in float16 on an
  // H100, takes 16.2 ms and 2.4 ms to reorder tokens; dense attention by cuDNN 97.4 ms. Ours is
  // odd: 81 x 81, 2.5% more.
  const GridShape flux = {1, 256, 24, dtype, 128};
  RegisterLarge<WideNeighborhoodCall>(NeighborhoodAttentionTable(), "flux81/" + flux.name(), flux,
                                      int64_t{81});
}

// Scales of next-scale models with guidance (VAR-d16, demo-var, Infinity at 1024 pixels) over what
// they remember, and a DiT of 1024 tokens.
void RegisterWholeAttentions(DType dtype) {
  const auto dense = [&](int64_t batch, int64_t queries, int64_t keys, int64_t heads,
                         int64_t depth) {
    RegisterOp<AttentionCall>(
        AttentionTable(),
        fmt::format("{}/{}x{}of{}x{}x{}", NameOf(dtype), batch, queries, keys, heads, depth), batch,
        queries, keys, heads, depth, dtype);
  };
  dense(2, 256, 680, 16, 64);
  dense(2, 256, 530, 5, 32);
  dense(2, 36, 91, 16, 64);
  dense(2, 1024, 4000, 16, 128);
  dense(1, 1024, 1024, 12, 64);
}

}  // namespace

void RegisterAttentions() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t batch : {1, 4}) {
      for (int64_t level = 0; level < 2; ++level) {
        const GridShape shape = {batch, int64_t{64} >> level, int64_t{2} << level, dtype};
        RegisterOp<GridCall<NeighborhoodAttentionArgs>>(NeighborhoodAttentionTable(), shape.name(),
                                                        shape);
        RegisterOp<GridCall<WindowAttentionArgs>>(WindowAttentionTable(), shape.name(), shape);
      }
      RegisterOp<AttentionCall>(AttentionTable(),
                                fmt::format("{}/{}x256x8x64", NameOf(dtype), batch), batch,
                                int64_t{256}, int64_t{256}, int64_t{8}, kDepth, dtype);
    }
    RegisterWholeAttentions(dtype);
    RegisterLargeAttentions(dtype);
  }
}

}  // namespace gesso::bench
