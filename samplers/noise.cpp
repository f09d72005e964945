#include "samplers/noise.h"

#include "kernels/core/rng.h"

namespace gesso {

void PhiloxNoise::Draw(Context& /*ctx*/, double /*sigma*/, double /*sigma_next*/, View out) {
  CHECK(out.shape[0] == static_cast<int64_t>(seeds_.size()));
  for (int64_t b = 0; b < out.shape[0]; ++b) {
    FillNormal(out.Slice(0, b, b + 1), seeds_[static_cast<size_t>(b)], draws_);
  }
  ++draws_;
}

}  // namespace gesso
