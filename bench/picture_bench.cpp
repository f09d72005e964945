// What samplers, decoders and next-scale models do beside products, most of it on shapes that fill
// a GPU.
#include <fmt/format.h>

#include <vector>

#include "bench/op_bench.h"
#include "kernels/elementwise.h"
#include "kernels/group_norm.h"
#include "kernels/heads.h"
#include "kernels/nearest_code.h"
#include "kernels/resize.h"
#include "kernels/sample.h"

namespace gesso::bench {

namespace {

// A sampler's update of x, with noise.
struct UpdateCall {
  std::vector<Term> terms;
  std::vector<uint64_t> seeds;
  NormalTerm stream = {1, 0};
  LinearCombinationArgs args;

  UpdateCall(Room& room, int64_t pictures, int64_t size, bool noisy) {
    const Shape shape = {pictures, size};
    for (const float coefficient : {0.5f, 0.25f})
      terms.push_back({coefficient, room.Values(shape)});
    for (int64_t i = 0; i < pictures; ++i) seeds.push_back(static_cast<uint64_t>(i));
    args.terms = terms;
    if (noisy) args.noise = {0.5f, seeds, std::span(&stream, 1)};
    args.out = room.Empty(shape);
  }
};

struct GatedAddCall {
  GatedAddArgs args;

  GatedAddCall(Room& room, int64_t pictures, int64_t rows, int64_t width) {
    const Shape shape = {pictures, rows, width};
    args.residual = room.Values(shape);
    args.x = room.Values(shape);
    args.gate = room.Values({pictures, width});
    args.out = room.Empty(shape);
  }
};

// The first `count` of queries, keys and values, as next-scale models make them ready: thirds of a
// projection, keys and values for a cache.
struct PrepareHeadsCall {
  std::vector<HeadPart> parts;
  PrepareHeadsArgs args;

  PrepareHeadsCall(Room& room, int64_t batch, int64_t tokens, int64_t heads, int64_t count,
                   DType dtype) {
    constexpr int64_t kDepth = 64;
    const View qkv = room.Values({batch, tokens, count * heads, kDepth}, dtype);
    const Shape cache = {batch, heads, tokens, kDepth};
    for (int64_t i = 0; i < count; ++i) {
      const bool is_query = i == 0;
      const bool is_value = i == 2;
      parts.push_back({.x = qkv.Slice(2, i * heads, (i + 1) * heads),
                       .normalize = !is_value,
                       .rotate = !is_value,
                       .out = is_query ? room.Empty({batch, tokens, heads, kDepth}, dtype)
                                       : room.Empty(cache, dtype).Permute({0, 2, 1, 3})});
    }
    parts[0].scale = room.Values({heads});
    args.parts = parts;
    args.cos = room.Values({tokens, kDepth / 2});
    args.sin = room.Values({tokens, kDepth / 2});
  }
};

struct GroupNormCall {
  GroupNormArgs args;

  GroupNormCall(Room& room, int64_t side, int64_t channels, DType dtype) {
    args.x = room.Values({1, side, side, channels}, dtype);
    args.scale = room.Values({channels});
    args.shift = room.Values({channels});
    args.activation = Activation::kSilu;
    args.out = room.Empty(args.x.shape, dtype);
  }
};

struct ResizeCall {
  ResizeArgs args;

  // To twice the side.
  ResizeCall(Room& room, int64_t side, int64_t channels, Resampling resampling, DType dtype) {
    args.x = room.Values({1, side, side, channels}, dtype);
    args.resampling = resampling;
    args.out = room.Empty({1, 2 * side, 2 * side, channels}, dtype);
  }
};

struct SampleTokensCall {
  std::vector<double> uniforms;
  SampleTokensArgs args;

  SampleTokensCall(Room& room, int64_t rows, int64_t values)
      : uniforms(static_cast<size_t>(rows), 0.5) {
    args.logits = room.Values({rows, values});
    args.top_k = 900;
    args.top_p = 0.96;
    args.uniforms = uniforms;
    args.tokens = room.Empty({rows}, DType::kI32);
  }
};

struct NearestCodeCall {
  PackedCodebook codebook;
  NearestCodeArgs args;

  NearestCodeCall(Room& room, int64_t rows, int64_t codes, int64_t width)
      : codebook(PackCodebook(ChosenDevice(), room.Values({codes, width}))) {
    args.z = room.Values({rows, width});
    args.codebook = &codebook;
    args.tokens = room.Empty({rows}, DType::kI32);
  }
};

void RegisterOfType(DType dtype) {
  const std::string_view type = NameOf(dtype);
  for (const int64_t parts : {1, 3}) {
    RegisterLarge<PrepareHeadsCall>(PrepareHeadsTable(),
                                    fmt::format("{}/16x4096x{}x16x64", type, parts), int64_t{16},
                                    int64_t{4096}, int64_t{16}, parts, dtype);
  }
  RegisterOp<PrepareHeadsCall>(PrepareHeadsTable(), fmt::format("{}/2x256x3x16x64", type),
                               int64_t{2}, int64_t{256}, int64_t{16}, int64_t{3}, dtype);
  RegisterLarge<GroupNormCall>(GroupNormTable(), fmt::format("{}/512x512x256", type), int64_t{512},
                               int64_t{256}, dtype);
  RegisterLarge<ResizeCall>(ResizeTable(), fmt::format("nearest/{}/512x512x128", type),
                            int64_t{512}, int64_t{128}, Resampling::kNearest, dtype);
  RegisterLarge<ResizeCall>(ResizeTable(), fmt::format("bicubic/{}/512x512x128", type),
                            int64_t{512}, int64_t{128}, Resampling::kBicubic, dtype);
}

}  // namespace

void RegisterPictures() {
  constexpr int64_t kPictures = 16;
  constexpr int64_t kSize = int64_t{3} << 20;  // 1024 x 1024
  RegisterLarge<UpdateCall>(LinearCombinationTable(), "update/16x3x1024x1024", kPictures, kSize,
                            false);
  RegisterLarge<UpdateCall>(LinearCombinationTable(), "noisy_update/16x3x1024x1024", kPictures,
                            kSize, true);
  RegisterLarge<GatedAddCall>(GatedAddTable(), "16x4096x1024", kPictures, int64_t{4096},
                              int64_t{1024});
  RegisterOfType(DType::kF32);
  RegisterOfType(DType::kBF16);
  RegisterLarge<SampleTokensCall>(SampleTokensTable(), "256x4096", int64_t{256}, int64_t{4096});
  RegisterLarge<SampleTokensCall>(SampleTokensTable(), "1024x32000", int64_t{1024}, int64_t{32000});
  RegisterLarge<NearestCodeCall>(NearestCodeTable(), "65536x4096x32", int64_t{65536}, int64_t{4096},
                                 int64_t{32});
}

}  // namespace gesso::bench
