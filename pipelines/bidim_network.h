// The bidirectional Diffusion Mamba, for pictures and clips, as a network that samplers can drive.
#pragma once

#include "models/bidim/model.h"
#include "pipelines/diffusion_network.h"

namespace gesso {

// Whether a bare checkpoint is one of this kind, by the names of its tensors.
bool IsBidimCheckpoint(const Weights& weights);

// The config is that of models/bidim with input_size [frames, height, width] and, for the
// preconditioning of Karras et al. 2022, sigma_data, sigma_min and sigma_max; the network's time is
// 250 ln(sigma). Throws as bidim::Load, and kUnsupported for a network that predicts variances;
// kConfig names `source`.
std::shared_ptr<const DiffusionNetwork> LoadBidimNetwork(const Weights& weights, const Json& config,
                                                         const std::string& source, Device device,
                                                         DType dtype);

}  // namespace gesso
