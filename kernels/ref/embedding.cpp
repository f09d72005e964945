#include "kernels/ref/embedding.h"

#include <cmath>
#include <numbers>

namespace gesso::ref {

void FourierFeatures(Context&, const FourierFeaturesArgs& args) {
  const int64_t inputs = args.u.shape[1];
  const int64_t features = args.weight.shape[0];
  const float* weight = args.weight.Data<float>();
  for (int64_t b = 0; b < args.u.shape[0]; ++b) {
    const float* u = args.u.Data<float>() + b * inputs;
    float* out = args.out.Data<float>() + b * 2 * features;
    for (int64_t f = 0; f < features; ++f) {
      double angle = 0;
      for (int64_t n = 0; n < inputs; ++n) {
        angle += static_cast<double>(weight[f * inputs + n]) * static_cast<double>(u[n]);
      }
      angle *= 2 * std::numbers::pi;
      out[f] = static_cast<float>(std::cos(angle));
      out[features + f] = static_cast<float>(std::sin(angle));
    }
  }
}

}  // namespace gesso::ref
