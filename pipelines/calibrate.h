// The range of what Mamba blocks multiply, from pictures that the model makes: with it the scales
// of their inputs are fixed before a picture is made.
// Paper: Chiang et al. 2024, "Quamba: A Post-Training Quantization Recipe for Selective State Space
// Models", sections 4.1 and 4.2. Official source enyac-group/Quamba quamba/observer.py.
#pragma once

#include <map>
#include <string>

#include "models/io/json.h"
#include "models/io/weights.h"

namespace gesso {

// Whether `name` is a product of a Mamba block, and whether it is the last, from the scan's output.
bool IsMambaProduct(const Weights& weights, const std::string& name);
bool IsMambaOutput(const Weights& weights, const std::string& name);

// Scale of the inputs of each product in the Mamba blocks of a DiM, by its name: the largest value
// / 127; for what the scan reads (x_proj) the 0.9995 quantile of a call, averaged, in its place;
// for the scan's output the largest value after the rotation. From `pictures` pictures of random
// classes, made in 20 steps of dpm_singlestep. Throws kUnsupported for other models.
std::map<std::string, float> Calibrate(const Weights& weights, const Json& config, int64_t pictures,
                                       uint64_t seed);

}  // namespace gesso
