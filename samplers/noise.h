// Where samplers get their noise from. Injected, so that a run can be repeated, split into
// batches, or fed with recorded noise.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/context.h"

namespace gesso {

class NoiseSource {
 public:
  virtual ~NoiseSource() = default;

  // Fills out [B, C, H, W] f32 with unit normal noise for the step from `sigma` to `sigma_next`.
  virtual void Draw(Context& ctx, double sigma, double sigma_next, View out) = 0;
};

// Picture b draws from the stream (seeds[b], number of the draw): the same picture in any batch.
class PhiloxNoise : public NoiseSource {
 public:
  explicit PhiloxNoise(std::vector<uint64_t> seeds) : seeds_(std::move(seeds)) {}

  void Draw(Context& ctx, double sigma, double sigma_next, View out) override;

 private:
  std::vector<uint64_t> seeds_;
  uint64_t draws_ = 0;
};

}  // namespace gesso
