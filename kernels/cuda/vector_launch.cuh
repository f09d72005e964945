// Launches over elements of which a thread takes several where that is possible.
#pragma once

#include "kernels/cuda/device/vectors.cuh"
#include "kernels/cuda/launch.cuh"

namespace gesso::cuda {

// As ForEach, for bodies with a vector form (device/vectors.cuh).
template <class Body>
void ForEachVector(int64_t count, const Body& body) {
  InVectors(count, body, [](int64_t times, const auto& form) { ForEach(times, form); });
}

}  // namespace gesso::cuda
