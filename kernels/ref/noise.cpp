#include "kernels/ref/noise.h"

#include "kernels/core/rng.h"

namespace gesso::ref {

void DrawNormal(Context&, const DrawNormalArgs& args) {
  FillNormal(args.out, args.seed, args.terms);
}

}  // namespace gesso::ref
