#include "kernels/ref/blend.h"

#include "kernels/core/parallel.h"

namespace gesso::ref {

namespace {

double Weight(int64_t position, int64_t fading) {
  if (position >= fading) return 1;
  return (static_cast<double>(position) + 0.5) / static_cast<double>(fading);
}

}  // namespace

void FadeIn(Context&, const FadeInArgs& args) {
  const Shape& s = args.x.shape;
  ParallelFor(s[0] * s[1] * s[2], [&](int64_t line) {
    const int64_t b = line / (s[1] * s[2]);
    const int64_t c = line / s[2] % s[1];
    const int64_t y = line % s[2];
    const auto offset = [&](const Strides& strides) {
      return b * strides[0] + c * strides[1] + y * strides[2];
    };
    const float* x = args.x.Data<float>() + offset(args.x.strides);
    float* out = args.out.Data<float>() + offset(args.out.strides);
    for (int64_t column = 0; column < s[3]; ++column) {
      const double weight = Weight(y, args.rows) * Weight(column, args.columns);
      const double before = weight == 1 ? 0 : static_cast<double>(out[column]);
      const auto value = static_cast<double>(x[column]);
      out[column] = static_cast<float>((1 - weight) * before + weight * value);
    }
  });
}

void Hold(Context&, const HoldArgs& args) {
  const Shape& s = args.out.shape;
  const auto threshold = static_cast<float>(args.threshold);
  ParallelFor(s[0] * s[1] * s[2], [&](int64_t line) {
    const int64_t c = line / s[2] % s[1];
    const int64_t y = line % s[2];
    const float* known = args.known.Data<float>() + (c * s[2] + y) * s[3];
    const float* amount = args.amount.Data<float>() + y * s[3];
    float* out = args.out.Data<float>() + line * s[3];
    for (int64_t x = 0; x < s[3]; ++x) {
      if (amount[x] < threshold) out[x] = known[x];
    }
  });
}

}  // namespace gesso::ref
