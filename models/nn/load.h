// Visitors over a module's weights: loading them from a checkpoint, counting them.
#pragma once

#include <map>

#include "models/io/weights.h"
#include "models/nn/module.h"

namespace gesso::nn {

// Collects what a module asks for.
class ShapeCollector : public ParameterVisitor {
 public:
  void Matrix(std::span<const MatrixPart> parts, int64_t cols, Precision precision,
              PackedMatrix& matrix) override;
  void Kernel(const std::string& name, const Shape& shape, Conv2dShape conv, Precision precision,
              PackedKernel& kernel) override;
  void Plain(const std::string& name, const Shape& shape, Role role, Tensor& tensor) override;

  const std::map<std::string, Shape>& shapes() const { return shapes_; }
  int64_t parameters() const { return parameters_; }  // elements, buffers left out

  // Throws kFormat naming the missing, the unexpected and the misshapen tensors of `weights`.
  void Check(const Weights& weights) const;

 private:
  void Add(const std::string& name, const Shape& shape, Role role);

  std::map<std::string, Shape> shapes_;
  int64_t parameters_ = 0;
};

// Fills a module whose names and shapes have been checked.
class Loader : public ParameterVisitor {
 public:
  // Products are packed for `device` and computed in `dtype` (kF32 or kBF16).
  Loader(const Weights& weights, Device device, DType dtype)
      : weights_(weights), device_(device), dtype_(dtype) {}

  // All throw kFormat naming a tensor that holds NaN or infinity or is neither of floating type nor
  // in few bits. Products keep the few bits of their weights where all parts have the same kind.
  void Matrix(std::span<const MatrixPart> parts, int64_t cols, Precision precision,
              PackedMatrix& matrix) override;
  void Kernel(const std::string& name, const Shape& shape, Conv2dShape conv, Precision precision,
              PackedKernel& kernel) override;
  void Plain(const std::string& name, const Shape& shape, Role role, Tensor& tensor) override;

 private:
  const Tensor& Checked(const std::string& name) const;
  // The matrix `name` [..., cols] in float32, also where the file has it in few bits.
  Tensor Floats(const std::string& name, int64_t cols) const;
  PackedMatrix Packed(std::span<const MatrixPart> parts, int64_t cols, Precision precision) const;
  DType TypeFor(Precision precision) const {
    return precision == Precision::kFull ? DType::kF32 : dtype_;
  }
  static Factors FactorsFor(Precision precision) {
    return precision == Precision::kFull ? Factors::kWhole : Factors::kSplit;
  }

  const Weights& weights_;
  Device device_;
  DType dtype_;
};

// Fills `module` with `weights`, which must hold exactly the tensors that the module declares.
template <Module M>
void LoadWeights(M& module, const Weights& weights, Device device, DType dtype) {
  ShapeCollector expected;
  module.Visit(expected, "");
  expected.Check(weights);
  Loader loader(weights, device, dtype);
  module.Visit(loader, "");
}

// Number of trainable values.
template <Module M>
int64_t CountParameters(M& module) {
  ShapeCollector collector;
  module.Visit(collector, "");
  return collector.parameters();
}

}  // namespace gesso::nn
