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

}  // namespace gesso::ref
