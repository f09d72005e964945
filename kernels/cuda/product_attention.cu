// Attention of wide heads, which autoencoders have one of: two products of cuBLASLt, with the
// scores of some queries at a time in memory between them.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/softmax.cuh"
#include "kernels/cuda/product.h"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

constexpr size_t kScoreBytes = size_t{64} << 20;  // of scores at a time, at most

// Slots that products of float and bfloat16 numbers as they are leave alone.
constexpr int kScores = kWeights;
constexpr int kShares = kInputs;

// Head h of picture b from token t on.
const void* HeadAt(ConstView x, int64_t b, int64_t t, int64_t h) {
  return Numbers(x).From(b * x.strides[0] + t * x.strides[1] + h * x.strides[2]).data;
}

// `count` queries of a head from `first` on.
void Attend(const AttentionArgs& args, int64_t b, int64_t h, int64_t first, int64_t count) {
  const int64_t keys = args.k.shape[1];
  const int64_t depth = args.q.shape[3];
  const DType type = args.q.dtype;
  const int64_t scores_count = count * keys;
  Numbers scores;
  scores.data = Scratch(kScores, static_cast<size_t>(scores_count) * sizeof(float));
  MultiplyAndFinish({.rows = count,
                     .outputs = keys,
                     .inputs = depth,
                     .stride = args.q.strides[1],
                     .in = type,
                     .weight_stride = args.k.strides[1]},
                    HeadAt(args.k, b, 0, h), {HeadAt(args.q, b, first, h)},
                    {.bias = {}, .residual = {}, .out = scores});
  SoftmaxRow softmax{static_cast<const float*>(scores.data), scores, keys, args.scale};
  if (type == DType::kBF16) {
    softmax.shares.data = Scratch(kShares, static_cast<size_t>(scores_count) * SizeOf(type));
    softmax.shares.bf16 = true;
  }
  ForEachRow<BlockLanes>(count, softmax);
  const int64_t width = args.out.strides[1];
  MultiplyAndFinish({.rows = count,
                     .outputs = depth,
                     .inputs = keys,
                     .stride = keys,
                     .in = type,
                     .out_stride = width,
                     .weight_stride = args.v.strides[1],
                     .weight_lies = true},
                    HeadAt(args.v, b, 0, h), {softmax.shares.data},
                    {.bias = {},
                     .residual = {},
                     .out = Numbers(args.out).From(b * args.out.strides[0] + first * width +
                                                   h * args.out.strides[2])});
}

}  // namespace

std::optional<std::string_view> WhyNotProductAttention(const AttentionArgs& args) {
  if (args.q.shape[3] <= kMostFlashChannels) return "heads that others are faster at";
  if (args.k.numel() == 0) return "no keys";
  if (!args.bias.empty() || !args.key_mask.empty()) return "a bias or a mask";
  return WhyNotReachable({args.q, args.k, args.v, args.out});
}

void ProductAttention(Context&, const AttentionArgs& args) {
  const Shape& s = args.q.shape;
  const size_t row_bytes = static_cast<size_t>(args.k.shape[1]) * sizeof(float);
  const auto most = static_cast<int64_t>(std::max<size_t>(kScoreBytes / row_bytes, 1));
  for (int64_t b = 0; b < s[0]; ++b) {
    for (int64_t h = 0; h < s[2]; ++h) {
      for (int64_t first = 0; first < s[1]; first += most) {
        Attend(args, b, h, first, std::min(most, s[1] - first));
      }
    }
  }
}

}  // namespace gesso::cuda
