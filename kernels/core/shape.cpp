#include "kernels/core/shape.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "kernels/core/error.h"

namespace gesso {

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  Require(dims.size() <= kMaxRank, ErrorKind::kShape, "tensor of rank {}: at most {} are supported",
          dims.size(), kMaxRank);
  std::copy(dims.begin(), dims.end(), dims_.begin());
  rank_ = static_cast<int>(dims.size());
}

int64_t Shape::numel() const {
  int64_t product = 1;
  for (const int64_t extent : dims()) product *= extent;
  return product;
}

std::string Shape::ToString() const { return fmt::format("[{}]", fmt::join(dims(), ", ")); }

bool Shape::operator==(const Shape& other) const {
  return std::ranges::equal(dims(), other.dims());
}

}  // namespace gesso
