// Ops that memory bounds, on the shapes of the oxford-flowers HDiT at 256 pixels.
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "bench/op_bench.h"
#include "kernels/activation.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "kernels/token.h"

namespace gesso::bench {

namespace {

template <class Args>
struct NormCall {
  Args args;

  NormCall(Room& room, int64_t tokens, int64_t width, DType in, DType out) {
    args.x = room.Values({1, tokens, width}, in);
    args.scale = room.Values({1, width});
    args.scale_offset = 1;
    args.out = room.Empty(args.x.shape, out);
  }
};

struct GluCall {
  GluArgs args;

  GluCall(Room& room, int64_t tokens, int64_t features, DType dtype) {
    const View both = room.Values({tokens, 2 * features}, dtype);
    args.value = both.Slice(1, 0, features);
    args.gate = both.Slice(1, features, 2 * features);
    args.out = room.Empty({tokens, features}, dtype);
  }
};

// The queries of a q-k-v buffer, scaled and rotated as HDiT does.
struct RopeCall {
  RopeArgs args;

  RopeCall(Room& room, int64_t batch, int64_t tokens, int64_t heads, DType dtype) {
    args.x = room.Values({batch, tokens, 3 * heads, 64}, dtype).Slice(2, 0, heads);
    args.scale = room.Filled({heads}, [](int64_t) { return 10.0f; });
    // True rotations: with others x, which is turned in place again and again, would fade into
    // denormal numbers.
    const auto angle = [](int64_t i) { return static_cast<float>(i % 1009) / 1009; };
    const Shape angles = {tokens, heads, 16};
    args.cos = room.Filled(angles, [=](int64_t i) { return std::cos(angle(i)); });
    args.sin = room.Filled(angles, [=](int64_t i) { return std::sin(angle(i)); });
  }
};

struct CombinationCall {
  std::vector<Term> terms;
  LinearCombinationArgs args;

  CombinationCall(Room& room, int64_t size, int count) {
    for (int i = 0; i < count; ++i) terms.push_back({0.5f, room.Values({1, size})});
    args.terms = terms;
    args.out = room.Empty({1, size});
  }
};

struct SpaceDepthCall {
  SpaceDepthArgs args;

  // Planes: a [C, side, side] picture to tokens; else channels last, as merging does.
  SpaceDepthCall(Room& room, int64_t side, int64_t channels, int64_t block, bool planes) {
    args.x = planes ? room.Values({1, channels, side, side}).Permute({0, 2, 3, 1})
                    : room.Values({1, side, side, channels});
    args.block_h = args.block_w = block;
    args.out = room.Empty({1, side / block, side / block, block * block * channels});
  }
};

void RegisterLevel(int64_t level, DType dtype) {
  const int64_t width = int64_t{128} << level;
  const int64_t tokens = int64_t{4096} >> (2 * level);
  const std::string shape = fmt::format("{}/{}x{}", NameOf(dtype), tokens, width);
  RegisterOp<NormCall<RmsNormArgs>>(RmsNormTable(), shape, tokens, width, DType::kF32, dtype);
  RegisterOp<NormCall<LayerNormArgs>>(LayerNormTable(), shape, tokens, width, DType::kF32, dtype);
  RegisterOp<GluCall>(GluTable(), fmt::format("{}/{}x{}", NameOf(dtype), tokens, 3 * width), tokens,
                      3 * width, dtype);
  RegisterOp<RopeCall>(RopeTable(), fmt::format("{}/{}x{}x64", NameOf(dtype), tokens, width / 64),
                       int64_t{1}, tokens, width / 64, dtype);
}

void RegisterLargeRows(DType dtype) {
  constexpr int64_t kRows = 65536;
  constexpr int64_t kWidth = 1024;
  const std::string shape = fmt::format("{}/{}x{}", NameOf(dtype), kRows, kWidth);
  RegisterLarge<NormCall<RmsNormArgs>>(RmsNormTable(), shape, kRows, kWidth, dtype, dtype);
  RegisterLarge<NormCall<LayerNormArgs>>(LayerNormTable(), shape, kRows, kWidth, dtype, dtype);
  RegisterLarge<GluCall>(GluTable(), shape, kRows, kWidth, dtype);
  RegisterLarge<RopeCall>(RopeTable(), fmt::format("{}/16x4096x16x64", NameOf(dtype)), int64_t{16},
                          int64_t{4096}, int64_t{16}, dtype);
}

}  // namespace

void RegisterPointwise() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (int64_t level = 0; level < 3; ++level) RegisterLevel(level, dtype);
    RegisterLargeRows(dtype);
  }
  for (const int count : {2, 4, 8}) {
    RegisterOp<CombinationCall>(LinearCombinationTable(), fmt::format("{}x4096x128", count),
                                int64_t{4096} * 128, count);
  }
  RegisterOp<SpaceDepthCall>(SpaceDepthTable(), "patch/3x256x256", int64_t{256}, int64_t{3},
                             int64_t{4}, true);
  RegisterOp<SpaceDepthCall>(SpaceDepthTable(), "merge/64x64x128", int64_t{64}, int64_t{128},
                             int64_t{2}, false);
}

}  // namespace gesso::bench
