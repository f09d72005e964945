// A tensor's extents: at most six dimensions, stored in place.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace gesso {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  // Extent of dimension `axis`; negative axes count from the end.
  int64_t operator[](int axis) const {
    return dims_[static_cast<size_t>(axis < 0 ? axis + rank_ : axis)];
  }
  void Set(int axis, int64_t extent) {
    dims_[static_cast<size_t>(axis < 0 ? axis + rank_ : axis)] = extent;
  }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  int64_t numel() const;         // product of the extents; 1 for rank 0
  std::string ToString() const;  // "[2, 3, 64, 64]"

  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace gesso

// Shapes are arguments of error messages as they are: text is made only when there is an error.
template <>
struct fmt::formatter<gesso::Shape> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const gesso::Shape& shape, Context& ctx) const {
    return fmt::formatter<std::string_view>::format(shape.ToString(), ctx);
  }
};
