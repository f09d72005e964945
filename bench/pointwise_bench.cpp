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
  Tensor x, scale, out;
  Args args;

  NormCall(int64_t tokens, int64_t width, DType dtype)
      : x(Values({1, tokens, width})), scale(Values({1, width})), out(x.shape(), dtype) {
    args.x = x;
    args.scale = scale;
    args.scale_offset = 1;
    args.out = out.mutable_view();
  }
};

struct GluCall {
  Tensor both, out;
  GluArgs args;

  GluCall(int64_t tokens, int64_t features, DType dtype)
      : both(Values({tokens, 2 * features}, dtype)), out({tokens, features}, dtype) {
    args.value = both.view().Slice(1, 0, features);
    args.gate = both.view().Slice(1, features, 2 * features);
    args.out = out.mutable_view();
  }
};

// The queries of a q-k-v buffer, scaled and rotated as HDiT does.
struct RopeCall {
  Tensor qkv, scale, cosine, sine;
  RopeArgs args;

  RopeCall(int64_t tokens, int64_t heads, DType dtype)
      : qkv(Values({1, tokens, 3 * heads, 64}, dtype)),
        scale({heads}, DType::kF32),
        cosine(Values({tokens, heads, 16})),
        sine(cosine.shape(), DType::kF32) {
    std::fill_n(scale.MutableData<float>(), heads, 10.0f);
    // True rotations: with others x, which is turned in place again and again, would fade into
    // denormal numbers.
    for (int64_t i = 0; i < cosine.shape().numel(); ++i) {
      const float angle = cosine.Data<float>()[i];
      cosine.MutableData<float>()[i] = std::cos(angle);
      sine.MutableData<float>()[i] = std::sin(angle);
    }
    args.x = qkv.mutable_view().Slice(2, 0, heads);
    args.scale = scale;
    args.cos = cosine;
    args.sin = sine;
  }
};

struct CombinationCall {
  std::vector<Tensor> inputs;
  std::vector<Term> terms;
  Tensor out;
  LinearCombinationArgs args;

  CombinationCall(int64_t size, int count) : out({size}, DType::kF32) {
    for (int i = 0; i < count; ++i) {
      inputs.push_back(Values({size}));
      terms.push_back({0.5f, inputs.back()});
    }
    args.terms = terms;
    args.out = out.mutable_view();
  }
};

struct SpaceDepthCall {
  Tensor wide, deep;
  SpaceDepthArgs args;

  // Planes: a [C, side, side] picture to tokens; else channels last, as merging does.
  SpaceDepthCall(int64_t side, int64_t channels, int64_t block, bool planes)
      : wide(Values(planes ? Shape{1, channels, side, side} : Shape{1, side, side, channels})),
        deep({1, side / block, side / block, block * block * channels}, DType::kF32) {
    args.x = planes ? wide.view().Permute({0, 2, 3, 1}) : wide.view();
    args.block_h = args.block_w = block;
    args.out = deep.mutable_view();
  }
};

void RegisterLevel(int64_t level, DType dtype) {
  const int64_t width = int64_t{128} << level;
  const int64_t tokens = int64_t{4096} >> (2 * level);
  const std::string shape = fmt::format("{}/{}x{}", NameOf(dtype), tokens, width);
  RegisterOp(RmsNormTable(), shape, std::make_shared<NormCall<RmsNormArgs>>(tokens, width, dtype));
  RegisterOp(LayerNormTable(), shape,
             std::make_shared<NormCall<LayerNormArgs>>(tokens, width, dtype));
  RegisterOp(GluTable(), fmt::format("{}/{}x{}", NameOf(dtype), tokens, 3 * width),
             std::make_shared<GluCall>(tokens, 3 * width, dtype));
  RegisterOp(RopeTable(), fmt::format("{}/{}x{}x64", NameOf(dtype), tokens, width / 64),
             std::make_shared<RopeCall>(tokens, width / 64, dtype));
}

}  // namespace

void RegisterPointwise() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (int64_t level = 0; level < 3; ++level) RegisterLevel(level, dtype);
  }
  for (const int count : {2, 4, 8}) {
    RegisterOp(LinearCombinationTable(), fmt::format("{}x4096x128", count),
               std::make_shared<CombinationCall>(4096 * 128, count));
  }
  RegisterOp(SpaceDepthTable(), "patch/3x256x256",
             std::make_shared<SpaceDepthCall>(256, 3, 4, true));
  RegisterOp(SpaceDepthTable(), "merge/64x64x128",
             std::make_shared<SpaceDepthCall>(64, 128, 2, false));
}

}  // namespace gesso::bench
