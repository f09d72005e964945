// Weights are declared once, by their official state_dict name, and visited many times: by the
// loader, the counter, the printer. After loading, a module is const.
#pragma once

#include <concepts>
#include <span>
#include <string>

#include "kernels/conv.h"
#include "kernels/gemm.h"

namespace gesso::nn {

// One named weight [rows, cols] among those stacked into a packed matrix.
struct MatrixPart {
  std::string name;
  int64_t rows;
};

enum class Role {
  kParameter,
  kBuffer,  // saved with the weights, but never trained: not counted
};

// Element type of a product's inputs.
enum class Precision {
  kModel,  // the one asked for when the model is loaded
  kFull,   // float32 always, with whole factors: for small products that a whole network hangs on
};

class ParameterVisitor {
 public:
  virtual ~ParameterVisitor() = default;

  // The weights of one product: `parts`, in this order, on top of each other.
  virtual void Matrix(std::span<const MatrixPart> parts, int64_t cols, Precision precision,
                      PackedMatrix& matrix) = 0;
  // The kernel `shape` [O, I/groups, KH, KW] of a convolution.
  virtual void Kernel(const std::string& name, const Shape& shape, Conv2dShape conv,
                      Precision precision, PackedKernel& kernel) = 0;
  // A tensor that is used as it is, in float32.
  virtual void Plain(const std::string& name, const Shape& shape, Role role, Tensor& tensor) = 0;
};

// A module tells a visitor every weight; `prefix` is empty or ends with a dot.
template <class T>
concept Module = requires(T module, ParameterVisitor& visitor, const std::string& prefix) {
  module.Visit(visitor, prefix);
};

}  // namespace gesso::nn
