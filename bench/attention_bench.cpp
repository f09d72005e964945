// Attentions on the shapes of the oxford-flowers HDiT at 256 pixels, q, k and v lying in one
// buffer as the model has them.
#include <fmt/format.h>

#include "bench/op_bench.h"
#include "kernels/attention.h"

namespace gesso::bench {

namespace {

constexpr int64_t kDepth = 64;

// `Args` is NeighborhoodAttentionArgs or WindowAttentionArgs.
template <class Args>
struct GridCall {
  Tensor qkv, out;
  Args args;

  GridCall(int64_t batch, int64_t side, int64_t heads, DType dtype)
      : qkv(Values({batch, side, side, 3 * heads, kDepth}, dtype)),
        out({batch, side, side, heads, kDepth}, dtype) {
    args.q = qkv.view().Slice(3, 0, heads);
    args.k = qkv.view().Slice(3, heads, 2 * heads);
    args.v = qkv.view().Slice(3, 2 * heads, 3 * heads);
    args.out = out.mutable_view();
  }
};

struct AttentionCall {
  Tensor qkv, out;
  AttentionArgs args;

  AttentionCall(int64_t batch, int64_t tokens, int64_t heads, DType dtype)
      : qkv(Values({batch, tokens, 3 * heads, kDepth}, dtype)),
        out({batch, tokens, heads, kDepth}, dtype) {
    args.q = qkv.view().Slice(2, 0, heads);
    args.k = qkv.view().Slice(2, heads, 2 * heads);
    args.v = qkv.view().Slice(2, 2 * heads, 3 * heads);
    args.out = out.mutable_view();
  }
};

}  // namespace

void RegisterAttentions() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t batch : {1, 4}) {
      for (int64_t level = 0; level < 2; ++level) {
        const int64_t side = int64_t{64} >> level;
        const int64_t heads = int64_t{2} << level;
        const std::string shape =
            fmt::format("{}/{}x{}x{}x{}x64", NameOf(dtype), batch, side, side, heads);
        RegisterOp(
            NeighborhoodAttentionTable(), shape,
            std::make_shared<GridCall<NeighborhoodAttentionArgs>>(batch, side, heads, dtype));
        RegisterOp(WindowAttentionTable(), shape,
                   std::make_shared<GridCall<WindowAttentionArgs>>(batch, side, heads, dtype));
      }
      RegisterOp(AttentionTable(), fmt::format("{}/{}x256x8x64", NameOf(dtype), batch),
                 std::make_shared<AttentionCall>(batch, 256, 8, dtype));
    }
  }
}

}  // namespace gesso::bench
