#include "kernels/ref/activation.h"

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

void Glu(Context&, const GluArgs& args) {
  ParallelFor(args.out.shape[0], [&](int64_t row) {
    for (int64_t f = 0; f < args.out.shape[1]; ++f) {
      const double value = Load(args.value.data, args.value.dtype, row * args.value.strides[0] + f);
      const double gate = Load(args.gate.data, args.gate.dtype, row * args.gate.strides[0] + f);
      Store(args.out.data, args.out.dtype, row * args.out.strides[0] + f,
            value * Activate(args.activation, gate));
    }
  });
}

void Activate(Context&, const ActivateArgs& args) {
  ParallelFor(args.out.shape[0], [&](int64_t row) {
    for (int64_t f = 0; f < args.out.shape[1]; ++f) {
      const double x = Load(args.x.data, args.x.dtype, row * args.x.strides[0] + f);
      Store(args.out.data, args.out.dtype, row * args.out.strides[0] + f,
            Activate(args.activation, x));
    }
  });
}

}  // namespace gesso::ref
