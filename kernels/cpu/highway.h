// What the Highway implementations share on the outside: whether this CPU can run them, and how
// work is cut into tasks.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "kernels/core/tensor.h"

namespace gesso::cpu {

// The compiled targets start at AVX2 with FMA (kernels/CMakeLists.txt); a CPU below that gets the
// reference implementations.
std::optional<std::string_view> WhyNoVectors();

template <class Args>
std::optional<std::string_view> HasVectors(const Args&) {
  return WhyNoVectors();
}

// Rows of `elements` that make a task large enough (about 10 us) to be worth handing out.
inline int64_t RowsATask(int64_t elements) {
  constexpr int64_t kElementsATask = 16384;
  return std::max<int64_t>(1, kElementsATask / std::max<int64_t>(1, elements));
}

// Calls body(In(), Out()) with the element types that two dtypes stand for (f32 or bf16).
template <class Body>
void WithTypes(DType in, DType out, const Body& body) {
  if (in == DType::kBF16) {
    out == DType::kBF16 ? body(BFloat16(), BFloat16()) : body(BFloat16(), float());
  } else {
    out == DType::kBF16 ? body(float(), BFloat16()) : body(float(), float());
  }
}

// Address of the element `offset` elements behind the view's first.
inline const void* At(ConstView view, int64_t offset) {
  return static_cast<const std::byte*>(view.data) +
         offset * static_cast<int64_t>(SizeOf(view.dtype));
}
inline void* At(View view, int64_t offset) {
  return static_cast<std::byte*>(view.data) + offset * static_cast<int64_t>(SizeOf(view.dtype));
}

}  // namespace gesso::cpu
