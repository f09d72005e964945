// Matrices in few bits among the tensors of a checkpoint (docs/low_bit.md): the codes under the
// weight's own name, and what belongs to them under that name and a suffix. Matrices of e4m3
// numbers as others publish them, with a scale beside them or none, are of type f8.
#pragma once

#include <map>
#include <string>

#include "kernels/low_bit.h"
#include "models/io/weights.h"

namespace gesso {

// Whether the tensor `name` holds codes.
bool IsLowBit(const Weights& weights, const std::string& name);
// Whether the tensor `name` belongs to codes of another name.
bool BelongsToLowBit(const Weights& weights, const std::string& name);

// The shape of the codes of a matrix [rows, cols] like those of `name`.
Shape CodesShape(const Weights& weights, const std::string& name, const Shape& matrix);

// The matrix `name` with `cols` inputs, whose codes have been asked for by IsLowBit. Throws
// kFormat, naming file and tensor.
LowBitMatrix LowBitAt(const Weights& weights, const std::string& name, int64_t cols);

// Adds `matrix` to the tensors of a file.
void PutLowBit(std::map<std::string, Tensor>& tensors, const std::string& name,
               const LowBitMatrix& matrix);

}  // namespace gesso
