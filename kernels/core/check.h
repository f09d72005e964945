// Argument checks of the front doors; every message names the op and the argument.
#pragma once

#include <string_view>

#include "kernels/core/tensor.h"

namespace gesso {

// Throws kUnsupported unless the elements are f32 or bf16.
void CheckFloat(std::string_view op, std::string_view name, ConstView x);
// Throws kUnsupported unless the elements are `dtype`.
void CheckDType(std::string_view op, std::string_view name, ConstView x, DType dtype);
// Throws kShape unless x has this shape.
void CheckShape(std::string_view op, std::string_view name, ConstView x, const Shape& shape);
void CheckRank(std::string_view op, std::string_view name, ConstView x, int rank);
void CheckContiguous(std::string_view op, std::string_view name, ConstView x);
// Throws kShape unless the last dimension is contiguous.
void CheckRows(std::string_view op, std::string_view name, ConstView x);

}  // namespace gesso
