// The range of what Mamba blocks multiply, from pictures that the model makes: with it the scales
// of their inputs are fixed before a picture is made.
// Paper: Chiang et al. 2024, "Quamba: A Post-Training Quantization Recipe for Selective State Space
// Models", sections 4.1 and 4.2. Official source enyac-group/Quamba quamba/observer.py.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "kernels/core/context.h"
#include "models/io/json.h"
#include "models/io/weights.h"

namespace gesso {

// Whether `name` is a product of a Mamba block, and whether it is the last, from the scan's output.
bool IsMambaProduct(const Weights& weights, const std::string& name);
bool IsMambaOutput(const Weights& weights, const std::string& name);

// Follows the inputs of the products in Mamba blocks: the largest value; for what the scan reads
// (x_proj) the 0.9995 quantile of a call, averaged, in its place; for the scan's output the largest
// value after the rotation.
class RangeTap : public Tap {
 public:
  // Keeps a reference to the weights, whose names tell what is a Mamba block.
  explicit RangeTap(const Weights& weights) : weights_(weights) {}

  void Record(std::string_view name, ConstView value) override;

  // By the product's name, range / 127.
  std::map<std::string, float> Scales() const;

 private:
  void Average(const std::string& product, float* values, int64_t count);

  const Weights& weights_;
  std::map<std::string, float> ranges_;
};

// Scales of the inputs in the Mamba blocks of a DiM or of a bidirectional Diffusion Mamba with
// classes, from `pictures` pictures or clips of random ones, made in 20 steps (of dpm_singlestep,
// or of dpmpp_2m on the schedule karras). Throws kUnsupported for other models.
std::map<std::string, float> Calibrate(const Weights& weights, const Json& config, int64_t pictures,
                                       uint64_t seed);

}  // namespace gesso
