#include "kernels/core/check.h"

namespace gesso {

void CheckFloat(std::string_view op, std::string_view name, ConstView x) {
  Require(x.dtype == DType::kF32 || x.dtype == DType::kBF16, ErrorKind::kUnsupported,
          "{}: {} must be float32 or bfloat16, got {}", op, name, NameOf(x.dtype));
}

void CheckDType(std::string_view op, std::string_view name, ConstView x, DType dtype) {
  Require(x.dtype == dtype, ErrorKind::kUnsupported, "{}: {} must be {}, got {}", op, name,
          NameOf(dtype), NameOf(x.dtype));
}

void CheckShape(std::string_view op, std::string_view name, ConstView x, const Shape& shape) {
  Require(x.shape == shape, ErrorKind::kShape, "{}: {} must be {}, got {}", op, name, shape,
          x.shape);
}

void CheckRank(std::string_view op, std::string_view name, ConstView x, int rank) {
  Require(x.shape.rank() == rank, ErrorKind::kShape, "{}: {} must have {} dimensions, got {}", op,
          name, rank, x.shape);
}

void CheckContiguous(std::string_view op, std::string_view name, ConstView x) {
  Require(x.IsContiguous(), ErrorKind::kShape, "{}: {} must be contiguous", op, name);
}

void CheckRows(std::string_view op, std::string_view name, ConstView x) {
  const int last = x.shape.rank() - 1;
  Require(x.shape[last] == 1 || x.strides[static_cast<size_t>(last)] == 1, ErrorKind::kShape,
          "{}: the last dimension of {} must be contiguous", op, name);
}

}  // namespace gesso
