#include "kernels/ref/gemm.h"

#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

std::vector<float> Unpacked(const PackedMatrix& weight) {
  std::vector<float> values(static_cast<size_t>(weight.rows() * weight.cols()));
  weight.storage().Unpack(values.data());
  return values;
}

// Row `row` of x times row `n` of the weights.
double Dot(ConstView x, int64_t row_stride, int64_t row, const float* weight, int64_t cols) {
  double sum = 0;
  for (int64_t k = 0; k < cols; ++k) {
    sum += Load(x.data, x.dtype, row * row_stride + k) * static_cast<double>(weight[k]);
  }
  return sum;
}

}  // namespace

void Linear(Context&, const LinearArgs& args) {
  const int64_t rows = args.weight->rows();
  const int64_t cols = args.weight->cols();
  const std::vector<float> weight = Unpacked(*args.weight);
  const int64_t stride = args.x.shape.rank() == 2 ? args.x.strides[0] : cols;
  ParallelFor(args.out.numel() / rows, [&](int64_t m) {
    for (int64_t n = 0; n < rows; ++n) {
      double value = Dot(args.x, stride, m, &weight[static_cast<size_t>(n * cols)], cols);
      if (!args.bias.empty()) value += Load(args.bias.data, args.bias.dtype, n);
      value = Activate(args.activation, value);
      const int64_t at = m * rows + n;
      if (!args.residual.empty()) value += Load(args.residual.data, args.residual.dtype, at);
      Store(args.out.data, args.out.dtype, at, value);
    }
  });
}

void LinearGlu(Context&, const LinearGluArgs& args) {
  const int64_t features = args.weight->rows() / 2;
  const int64_t cols = args.weight->cols();
  const std::vector<float> weight = Unpacked(*args.weight);
  ParallelFor(args.out.numel() / features, [&](int64_t m) {
    for (int64_t f = 0; f < features; ++f) {
      const float* value_row = &weight[static_cast<size_t>(f * cols)];
      const double value = Dot(args.x, cols, m, value_row, cols);
      const double gate = Dot(args.x, cols, m, value_row + features * cols, cols);
      Store(args.out.data, args.out.dtype, m * features + f,
            value * Activate(args.activation, gate));
    }
  });
}

}  // namespace gesso::ref
