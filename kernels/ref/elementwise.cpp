#include "kernels/ref/elementwise.h"

#include "kernels/core/parallel.h"

namespace gesso::ref {

void LinearCombination(Context&, const LinearCombinationArgs& args) {
  float* out = args.out.Data<float>();
  ParallelRange(args.out.numel(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (const Term& term : args.terms) {
        sum += static_cast<double>(term.coefficient) * term.x.Data<float>()[i];
      }
      if (sum < args.low) sum = args.low;  // a NaN stays one
      if (sum > args.high) sum = args.high;
      out[i] = static_cast<float>(sum);
    }
  });
}

void GatedAdd(Context&, const GatedAddArgs& args) {
  const Shape& s = args.x.shape;
  ParallelFor(s[0] * s[1], [&](int64_t row) {
    const int64_t b = args.gate.shape.rank() == 2 ? row / s[1] : 0;
    const float* gate = args.gate.Data<float>() + b * args.gate.strides[0];
    for (int64_t i = row * s[2]; i < (row + 1) * s[2]; ++i) {
      const double residual = args.residual.empty() ? 0 : args.residual.Data<float>()[i];
      const double x = args.x.Data<float>()[i];
      args.out.Data<float>()[i] = static_cast<float>(residual + gate[i - row * s[2]] * x);
    }
  });
}

}  // namespace gesso::ref
