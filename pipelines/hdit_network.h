// The Hourglass Diffusion Transformer as a network that samplers can drive.
#pragma once

#include "models/hdit/model.h"
#include "pipelines/diffusion_network.h"

namespace gesso {

// Throws as hdit::Load; kConfig names `source`.
std::shared_ptr<const DiffusionNetwork> LoadHditNetwork(const Weights& weights, const Json& config,
                                                        const std::string& source, Device device,
                                                        DType dtype);

}  // namespace gesso
