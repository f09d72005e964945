// What a linear layer reads: rows, or a norm of rows that has no other reader.
#pragma once

#include <concepts>
#include <optional>

#include "kernels/norm_linear.h"

namespace gesso::nn {

// A norm is run when a layer reads it, by which both may become one op (kernels/norm_linear.h).
class Input {
 public:
  // NOLINTBEGIN(google-explicit-constructor): layers take rows and norms alike
  template <std::convertible_to<ConstView> Rows>
  Input(const Rows& rows) : rows_(rows) {}
  Input(const RmsNormArgs& norm) : rows_(norm.out), norm_(norm) {}
  Input(const LayerNormArgs& norm) : rows_(norm.out), norm_(norm) {}
  // NOLINTEND(google-explicit-constructor)

  const Shape& shape() const { return rows_.shape; }

  // The rows, for more readers than one layer: runs the norm.
  ConstView Written(Context& ctx) const {
    if (norm_) Norm(ctx, *norm_);
    return rows_;
  }

  // Runs the product of these rows; its x is set here.
  template <class Product>
  void Multiply(Context& ctx, Product product) const {
    product.x = rows_;
    if (norm_) {
      NormLinear(ctx, {.norm = *norm_, .product = product});
    } else {
      gesso::Multiply(ctx, product);
    }
  }

 private:
  ConstView rows_;
  std::optional<NormArgs> norm_;
};

}  // namespace gesso::nn
