#include "kernels/ref/rope.h"

#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

// One head vector, `at` elements behind x.data; `head` of those with angles of their own.
void RotateHead(const RopeArgs& args, int64_t at, int64_t token, int64_t head) {
  const View& x = args.x;
  double factor = 1;
  if (!args.scale.empty()) {
    double square = 0;
    for (int64_t d = 0; d < x.shape[3]; ++d) {
      const double u = Load(x.data, x.dtype, at + d);
      square += u * u;
    }
    factor =
        std::sqrt(Load(args.scale.data, args.scale.dtype, head)) / std::sqrt(square + args.eps);
  }
  const int64_t half = args.cos.empty() ? 0 : args.cos.shape[2];
  const int64_t angles = (token * DistinctHeads(args) + head) * half;
  for (int64_t i = 0; i < half; ++i) {
    const double c = Load(args.cos.data, args.cos.dtype, angles + i);
    const double s = Load(args.sin.data, args.sin.dtype, angles + i);
    const double first = Load(x.data, x.dtype, at + i) * factor;
    const double second = Load(x.data, x.dtype, at + half + i) * factor;
    Store(x.data, x.dtype, at + i, first * c - second * s);
    Store(x.data, x.dtype, at + half + i, second * c + first * s);
  }
  for (int64_t d = 2 * half; d < x.shape[3]; ++d) {
    Store(x.data, x.dtype, at + d, Load(x.data, x.dtype, at + d) * factor);
  }
}

}  // namespace

void Rope(Context&, const RopeArgs& args) {
  const View& x = args.x;
  ParallelFor(x.shape[0] * x.shape[1], [&](int64_t row) {
    const int64_t b = row / x.shape[1];
    const int64_t token = row % x.shape[1];
    for (int64_t head = 0; head < x.shape[2]; ++head) {
      const int64_t at = b * x.strides[0] + token * x.strides[1] + head * x.strides[2];
      RotateHead(args, at, token, head % DistinctHeads(args));
    }
  });
}

}  // namespace gesso::ref
