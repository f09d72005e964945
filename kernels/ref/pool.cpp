#include "kernels/ref/pool.h"

namespace gesso::ref {

void MaskedMean(Context&, const MaskedMeanArgs& args) {
  const int64_t tokens = args.x.shape[1];
  const int64_t width = args.x.shape[2];
  for (int64_t b = 0; b < args.x.shape[0]; ++b) {
    const float* x = args.x.Data<float>() + b * tokens * width;
    const int32_t* mask = args.mask.Data<int32_t>() + b * tokens;
    for (int64_t d = 0; d < width; ++d) {
      double sum = 0;
      int64_t count = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        if (mask[t] == 0) continue;
        sum += static_cast<double>(x[t * width + d]);
        ++count;
      }
      args.out.Data<float>()[b * width + d] =
          count == 0 ? 0.f : static_cast<float>(sum / static_cast<double>(count));
    }
  }
}

}  // namespace gesso::ref
