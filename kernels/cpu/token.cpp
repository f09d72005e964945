#include "kernels/cpu/token.h"

#include <type_traits>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

namespace gesso::cpu {

namespace {

// out[i * out_step] = x[i * step], i < count.
template <class In, class Out>
inline void CopyRun(const In* x, int64_t step, Out* out, int64_t out_step, int64_t count) {
  if constexpr (std::is_same_v<In, Out>) {
    if (step == 1 && out_step == 1) {
      std::copy_n(x, count, out);
      return;
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    out[i * out_step] = static_cast<Out>(static_cast<float>(x[i * step]));
  }
}

// The picture's line `line` (of B * H) and the part of a row of tokens that it fills. `From` and
// `To` are the element types of the picture and of the tokens; both are written or read in place.
template <bool kInverse, class Wide, class Deep>
void MoveLine(const SpaceDepthArgs& args, const Shape& s, const Strides& wide_strides,
              const Strides& deep_strides, Wide* wide, Deep* deep, int64_t line) {
  const int64_t b = line / s[1];
  const int64_t y = line % s[1];
  const int64_t channels = s[3];
  wide += b * wide_strides[0] + y * wide_strides[1];
  deep += b * deep_strides[0] + y / args.block_h * deep_strides[1] +
          y % args.block_h * args.block_w * channels * deep_strides[3];
  // A block's line is one run of both where the picture's columns follow each other.
  const bool whole = wide_strides[2] == channels * wide_strides[3];
  const int64_t run = whole ? args.block_w * channels : channels;
  const int64_t runs = whole ? 1 : args.block_w;
  for (int64_t x = 0; x < s[2] / args.block_w; ++x) {
    for (int64_t i = 0; i < runs; ++i) {
      auto* picture = wide + (x * args.block_w + i) * wide_strides[2];
      auto* token = deep + x * deep_strides[2] + i * channels * deep_strides[3];
      if constexpr (kInverse) {
        CopyRun(token, deep_strides[3], picture, wide_strides[3], run);
      } else {
        CopyRun(picture, wide_strides[3], token, deep_strides[3], run);
      }
    }
  }
}

}  // namespace

void SpaceDepth(Context&, const SpaceDepthArgs& args) {
  const Shape& s = args.inverse ? args.out.shape : args.x.shape;
  const int64_t lines = RowsATask(s[2] * s[3]);
  WithTypes(args.x.dtype, args.out.dtype, [&](auto in, auto to) {
    const auto* x = args.x.Data<decltype(in)>();
    auto* out = args.out.Data<decltype(to)>();
    ParallelRange(s[0] * s[1], lines, [&](int64_t begin, int64_t end) {
      for (int64_t line = begin; line < end; ++line) {
        if (args.inverse) {
          MoveLine<true>(args, s, args.out.strides, args.x.strides, out, x, line);
        } else {
          MoveLine<false>(args, s, args.x.strides, args.out.strides, x, out, line);
        }
      }
    });
  });
}

void GatherRows(Context&, const GatherRowsArgs& args) {
  const int64_t width = args.table.shape[1];
  const int32_t* ids = args.ids.Data<int32_t>();
  WithTypes(args.table.dtype, DType::kF32, [&](auto in, auto) {
    const auto* table = args.table.Data<decltype(in)>();
    ParallelRange(args.ids.numel(), RowsATask(width), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        CopyRun(table + ids[i] * width, 1, args.out.Data<float>() + i * width, 1, width);
      }
    });
  });
}

void SelectTokens(Context&, const SelectTokensArgs& args) {
  const int64_t tokens = args.inverse ? args.out.shape[1] : args.x.shape[1];
  const int64_t width = args.x.shape[2];
  const int64_t kept = args.ids.shape[1];
  const int32_t* ids = args.ids.Data<int32_t>();
  const float* x = args.x.Data<float>();
  float* out = args.out.Data<float>();
  ParallelRange(args.ids.numel(), RowsATask(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t place = i / kept * tokens + ids[i];
      std::copy_n(x + (args.inverse ? i : place) * width, width,
                  out + (args.inverse ? place : i) * width);
    }
  });
}

}  // namespace gesso::cpu
