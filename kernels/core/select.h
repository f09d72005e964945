// Copies of parts of a tensor: the rows of a batch that a forked run goes on with.
#pragma once

#include <span>

#include "kernels/core/tensor.h"

namespace gesso {

// The slices indices[0], indices[1], ... of dimension `axis`; indices may repeat. An empty tensor
// stays empty.
Tensor Select(const Tensor& tensor, int axis, std::span<const int64_t> indices);

}  // namespace gesso
