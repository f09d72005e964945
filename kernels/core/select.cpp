#include "kernels/core/select.h"

#include <cstring>

namespace gesso {

Tensor Select(const Tensor& tensor, int axis, std::span<const int64_t> indices) {
  if (tensor.empty()) return {};
  const Shape& from = tensor.shape();
  Shape shape = from;
  shape.Set(axis, static_cast<int64_t>(indices.size()));
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= from[i];
  Tensor selected(shape, tensor.dtype());
  const size_t slice = tensor.view().bytes() / static_cast<size_t>(outer * from[axis]);
  const auto* source = tensor.view().Bytes();
  auto* target = selected.mutable_view().Bytes();
  for (int64_t i = 0; i < outer; ++i) {
    for (const int64_t index : indices) {
      CHECK(index >= 0 && index < from[axis]);
      std::memcpy(target, source + static_cast<size_t>(i * from[axis] + index) * slice, slice);
      target += slice;
    }
  }
  return selected;
}

}  // namespace gesso
