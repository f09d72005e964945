#include "kernels/ref/conv.h"

#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

// sum over taps and channels for output (b, y, x, o)
double Convolve(const Conv2dArgs& args, const float* weight, int64_t b, int64_t y, int64_t x,
                int64_t o) {
  const Shape& kernel = args.kernel->shape();
  const Conv2dShape& conv = args.kernel->conv();
  const Shape& in = args.x.shape;
  const int64_t first_channel = o / (kernel[0] / conv.groups) * kernel[1];
  double sum = 0;
  for (int64_t dy = 0; dy < kernel[2]; ++dy) {
    const int64_t row = y * conv.stride - conv.padding + dy * conv.dilation;
    if (row < 0 || row >= in[1]) continue;
    for (int64_t dx = 0; dx < kernel[3]; ++dx) {
      const int64_t column = x * conv.stride - conv.padding + dx * conv.dilation;
      if (column < 0 || column >= in[2]) continue;
      const int64_t pixel = ((b * in[1] + row) * in[2] + column) * in[3] + first_channel;
      for (int64_t i = 0; i < kernel[1]; ++i) {
        const int64_t tap = ((o * kernel[1] + i) * kernel[2] + dy) * kernel[3] + dx;
        sum += Load(args.x.data, args.x.dtype, pixel + i) * static_cast<double>(weight[tap]);
      }
    }
  }
  return sum;
}

}  // namespace

void Conv2d(Context&, const Conv2dArgs& args) {
  const Shape& out = args.out.shape;
  std::vector<float> weight(static_cast<size_t>(args.kernel->shape().numel()));
  args.kernel->storage().Unpack(weight.data());
  ParallelFor(out[0] * out[1] * out[2], [&](int64_t pixel) {
    const int64_t b = pixel / (out[1] * out[2]);
    const int64_t y = pixel / out[2] % out[1];
    for (int64_t o = 0; o < out[3]; ++o) {
      double value = Convolve(args, weight.data(), b, y, pixel % out[2], o);
      if (!args.bias.empty()) value += Load(args.bias.data, DType::kF32, o);
      value = Activate(args.activation, value);
      const int64_t at = pixel * out[3] + o;
      if (!args.residual.empty()) value += Load(args.residual.data, args.residual.dtype, at);
      Store(args.out.data, args.out.dtype, at, value);
    }
  });
}

}  // namespace gesso::ref
