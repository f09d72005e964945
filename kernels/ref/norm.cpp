#include "kernels/ref/norm.h"

#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

// Element (b, d) of a modulation [D] or [B, D]; `absent` where there is none.
double Modulation(ConstView value, int64_t b, int64_t d, double absent) {
  if (value.empty()) return absent;
  const int64_t row = value.shape.rank() == 2 ? b * value.strides[0] : 0;
  return Load(value.data, value.dtype, row + d);
}

}  // namespace

void RmsNorm(Context&, const RmsNormArgs& args) {
  const int64_t width = args.x.shape[2];
  ParallelFor(args.x.shape[0] * args.x.shape[1], [&](int64_t row) {
    const int64_t b = row / args.x.shape[1];
    const int64_t group = width / args.groups;
    for (int64_t first = 0; first < width; first += group) {
      double square = 0;
      for (int64_t d = first; d < first + group; ++d) {
        const double x = Load(args.x.data, args.x.dtype, row * width + d);
        square += x * x;
      }
      const double inverse = 1 / std::sqrt(square / static_cast<double>(group) + args.eps);
      for (int64_t d = first; d < first + group; ++d) {
        const double x = Load(args.x.data, args.x.dtype, row * width + d);
        const double scale = Modulation(args.scale, b, d, 1) + args.scale_offset;
        Store(args.out.data, args.out.dtype, row * width + d,
              x * inverse * scale + Modulation(args.shift, b, d, 0));
      }
    }
  });
}

void LayerNorm(Context&, const LayerNormArgs& args) {
  const int64_t width = args.x.shape[2];
  ParallelFor(args.x.shape[0] * args.x.shape[1], [&](int64_t row) {
    const int64_t b = row / args.x.shape[1];
    double sum = 0;
    for (int64_t d = 0; d < width; ++d) sum += Load(args.x.data, args.x.dtype, row * width + d);
    const double mean = sum / static_cast<double>(width);
    double square = 0;
    for (int64_t d = 0; d < width; ++d) {
      const double x = Load(args.x.data, args.x.dtype, row * width + d) - mean;
      square += x * x;
    }
    const double inverse = 1 / std::sqrt(square / static_cast<double>(width) + args.eps);
    for (int64_t d = 0; d < width; ++d) {
      const double x = Load(args.x.data, args.x.dtype, row * width + d) - mean;
      const double scale = Modulation(args.scale, b, d, 1) + args.scale_offset;
      Store(args.out.data, args.out.dtype, row * width + d,
            x * inverse * scale + Modulation(args.shift, b, d, 0));
    }
  });
}

}  // namespace gesso::ref
