#include "kernels/ref/group_norm.h"

#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

void GroupNorm(Context&, const GroupNormArgs& args) {
  const int64_t channels = args.x.shape[3];
  const int64_t pixels = args.x.shape[1] * args.x.shape[2];
  const int64_t width = channels / args.groups;
  ParallelFor(args.x.shape[0] * args.groups, [&](int64_t task) {
    const int64_t b = task / args.groups;
    const int64_t first = task % args.groups * width;
    // Calls body(index of the element, its channel) for the group's elements.
    const auto each = [&](const auto& body) {
      for (int64_t pixel = b * pixels; pixel < (b + 1) * pixels; ++pixel) {
        for (int64_t c = first; c < first + width; ++c) body(pixel * channels + c, c);
      }
    };
    const auto count = static_cast<double>(pixels * width);
    double sum = 0;
    each([&](int64_t i, int64_t) { sum += Load(args.x.data, args.x.dtype, i); });
    const double mean = sum / count;
    double square = 0;
    each([&](int64_t i, int64_t) {
      const double x = Load(args.x.data, args.x.dtype, i) - mean;
      square += x * x;
    });
    const double inverse = 1 / std::sqrt(square / count + args.eps);
    each([&](int64_t i, int64_t c) {
      double value = (Load(args.x.data, args.x.dtype, i) - mean) * inverse;
      if (!args.scale.empty()) value *= Load(args.scale.data, DType::kF32, c);
      if (!args.shift.empty()) value += Load(args.shift.data, DType::kF32, c);
      Store(args.out.data, args.out.dtype, i, Activate(args.activation, value));
    });
  });
}

}  // namespace gesso::ref
