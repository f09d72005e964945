#include "kernels/ref/token.h"

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

void SpaceDepth(Context&, const SpaceDepthArgs& args) {
  const ConstView wide = args.inverse ? ConstView(args.out) : args.x;
  const ConstView deep = args.inverse ? args.x : ConstView(args.out);
  const Shape& s = wide.shape;
  ParallelFor(s[0] * s[1], [&](int64_t line) {
    const int64_t b = line / s[1];
    const int64_t y = line % s[1];
    for (int64_t x = 0; x < s[2]; ++x) {
      const int64_t block = y % args.block_h * args.block_w + x % args.block_w;
      for (int64_t c = 0; c < s[3]; ++c) {
        const int64_t at_wide =
            b * wide.strides[0] + y * wide.strides[1] + x * wide.strides[2] + c * wide.strides[3];
        const int64_t at_deep = b * deep.strides[0] + y / args.block_h * deep.strides[1] +
                                x / args.block_w * deep.strides[2] +
                                (block * s[3] + c) * deep.strides[3];
        const int64_t from = args.inverse ? at_deep : at_wide;
        const int64_t to = args.inverse ? at_wide : at_deep;
        Store(args.out.data, args.out.dtype, to, Load(args.x.data, args.x.dtype, from));
      }
    }
  });
}

void GatherRows(Context&, const GatherRowsArgs& args) {
  const int64_t width = args.table.shape[1];
  ParallelRange(args.ids.numel(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = args.ids.Data<int32_t>()[i];
      for (int64_t d = 0; d < width; ++d) {
        Store(args.out.data, args.out.dtype, i * width + d,
              Load(args.table.data, args.table.dtype, row * width + d));
      }
    }
  });
}

void SelectTokens(Context&, const SelectTokensArgs& args) {
  const int64_t tokens = args.inverse ? args.out.shape[1] : args.x.shape[1];
  const int64_t width = args.x.shape[2];
  const int64_t kept = args.ids.shape[1];
  for (int64_t i = 0; i < args.ids.numel(); ++i) {
    const int64_t place = i / kept * tokens + args.ids.Data<int32_t>()[i];
    const int64_t from = args.inverse ? i : place;
    const int64_t to = args.inverse ? place : i;
    for (int64_t c = 0; c < width; ++c) {
      args.out.Data<float>()[to * width + c] = args.x.Data<float>()[from * width + c];
    }
  }
}

}  // namespace gesso::ref
