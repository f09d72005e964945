#include "kernels/ref/elementwise.h"

#include <array>

#include "kernels/core/parallel.h"

namespace gesso::ref {

namespace {

// Number i of the noise.
double NoiseAt(const LinearCombinationArgs& args, int64_t i) {
  const int64_t size = args.out.numel() / args.out.shape[0];
  std::array<float, 2> pair{};
  SumNormals(args.noise.seeds[static_cast<size_t>(i / size)], args.noise.streams,
             static_cast<uint64_t>(i % size / 2), pair);
  return static_cast<double>(pair[static_cast<size_t>(i % size % 2)]);
}

}  // namespace

void LinearCombination(Context&, const LinearCombinationArgs& args) {
  float* out = args.out.Data<float>();
  ParallelRange(args.out.numel(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      double also = 0;
      for (const Term& term : args.terms) {
        const double x = term.x.Data<float>()[i];
        sum += static_cast<double>(term.coefficient) * x;
        also += static_cast<double>(term.also) * x;
      }
      if (!args.noise.seeds.empty()) sum += args.noise.coefficient * NoiseAt(args, i);
      if (sum < args.low) sum = args.low;  // a NaN stays one
      if (sum > args.high) sum = args.high;
      out[i] = static_cast<float>(sum);
      if (!args.also.empty()) args.also.Data<float>()[i] = static_cast<float>(also);
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
