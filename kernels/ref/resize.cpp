#include "kernels/ref/resize.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

// Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing": the weight of an
// element at distance |t| < 2.
double Cubic(double t) {
  constexpr double kA = -0.75;
  t = std::abs(t);
  if (t <= 1) return ((kA + 2) * t - (kA + 3)) * t * t + 1;
  return ((kA * t - 5 * kA) * t + 8 * kA) * t - 4 * kA;
}

// Calls body(index, weight) for every element that output `i` reads along an axis.
template <class Body>
void ForEachTap(Resampling resampling, int64_t i, int64_t in, int64_t out, const Body& body) {
  const double position =
      (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
  switch (resampling) {
    case Resampling::kNearest:
      return body(i * in / out, 1.0);
    case Resampling::kArea: {
      const int64_t begin = i * in / out;
      const int64_t end = ((i + 1) * in + out - 1) / out;
      for (int64_t j = begin; j < end; ++j) body(j, 1.0 / static_cast<double>(end - begin));
      return;
    }
    case Resampling::kBilinear: {
      const double inside = std::max(position, 0.0);
      const auto left = static_cast<int64_t>(std::floor(inside));
      const double share = inside - static_cast<double>(left);
      body(std::min(left, in - 1), 1 - share);
      return body(std::min(left + 1, in - 1), share);
    }
    case Resampling::kBicubic: {
      const auto left = static_cast<int64_t>(std::floor(position));
      for (int64_t j = left - 1; j <= left + 2; ++j) {
        body(std::clamp<int64_t>(j, 0, in - 1), Cubic(position - static_cast<double>(j)));
      }
      return;
    }
  }
}

}  // namespace

void Resize(Context&, const ResizeArgs& args) {
  const Shape& in = args.x.shape;
  const Shape& out = args.out.shape;
  ParallelFor(out[0] * out[1] * out[2], [&](int64_t pixel) {
    const int64_t b = pixel / (out[1] * out[2]);
    const int64_t y = pixel / out[2] % out[1];
    const int64_t x = pixel % out[2];
    for (int64_t c = 0; c < out[3]; ++c) {
      double sum = 0;
      ForEachTap(args.resampling, y, in[1], out[1], [&](int64_t row, double row_weight) {
        ForEachTap(args.resampling, x, in[2], out[2], [&](int64_t column, double weight) {
          const int64_t at = ((b * in[1] + row) * in[2] + column) * in[3] + c;
          sum += row_weight * weight * Load(args.x.data, args.x.dtype, at);
        });
      });
      Store(args.out.data, args.out.dtype, pixel * out[3] + c, sum);
    }
  });
}

}  // namespace gesso::ref
